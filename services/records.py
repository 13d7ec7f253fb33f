"""What is told to the Recorder of a judged part, and what it would tell of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from services.storage.base import Kept
from services.wire import Judged, Part, Recorded


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a ``preprocessing.prepare.Context``."""

    event_ids: list[str]
    user_ids: list[str]
    late: list[int]
    learning: list[int]
    duplicate: list[int]
    blatant: list[int]
    evidence: dict[int, bytes]
    stamps: list[float]
    addresses: list[str]


NOT_TRACED: Mapping[int, str] = {}
_KEPT = msgspec.msgpack.Decoder(_Kept)


def recorded(
    part: Part,
    judged: Judged,
    answers: Sequence[bytes],
    repeats: frozenset[int],
    traced: Mapping[int, str] = NOT_TRACED,
) -> Recorded:
    """What is new of a part: everything but the rows in ``repeats``.

    ``traced`` gives the ``traceparent`` of those items of the payload whose trace is recorded.
    """
    kept = _KEPT.decode(part.context)
    live = part.live
    whole = Recorded(
        event_ids=part.event_ids,
        verdicts=list(answers),
        columns=part.columns,
        values=part.values,
        stamps=np.array(kept.stamps).tobytes(),
        addresses=kept.addresses,
        evidence=kept.evidence,
        alerts=judged.alerts,
        shadow=live.variant == "shadow",
        version=live.version,
        path=live.path,
        traces={row: traced[item] for row, item in enumerate(part.items) if item in traced}
        if traced
        else {},
        users=kept.user_ids,
        events=part.events,
    )
    if not repeats:
        return whole
    return only(whole, [row for row in range(len(answers)) if row not in repeats])


def only(whole: Recorded, rows: Sequence[int]) -> Recorded:
    """Some rows of a batch."""
    place = {row: index for index, row in enumerate(rows)}
    values = np.frombuffer(whole.values, np.float32).reshape(-1, whole.columns)
    return replace(
        whole,
        event_ids=[whole.event_ids[row] for row in rows],
        verdicts=[whole.verdicts[row] for row in rows],
        values=values[rows].tobytes(),
        stamps=np.frombuffer(whole.stamps, np.float64)[rows].tobytes(),
        addresses=[whole.addresses[row] for row in rows],
        evidence={place[row]: raw for row, raw in whole.evidence.items() if row in place},
        alerts=[place[row] for row in whole.alerts if row in place],
        traces={place[row]: raw for row, raw in whole.traces.items() if row in place},
        users=[whole.users[row] for row in rows] if whole.users else [],
        events=[whole.events[row] for row in rows] if whole.events else [],
    )


def kept_of(recorded: Recorded, event_id: str) -> Kept:
    """What the store will have of an event; ValueError if it is not of this batch."""
    row, width = recorded.row(event_id), recorded.columns * 4
    return Kept(
        verdict=recorded.verdicts[row],
        version=recorded.version,
        path=recorded.path,
        manifest="",
        recorded_s=time.time(),
        values=recorded.values[row * width : (row + 1) * width],
        evidence=recorded.evidence.get(row),
        event=recorded.events[row] if recorded.events else None,
    )
