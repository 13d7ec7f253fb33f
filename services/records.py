"""What is told to the Recorder of a judged part."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from services.wire import Judged, Part, Recorded


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """As ``preprocessing.prepare.Context``, with the evidence left as it came."""

    event_ids: list[str]
    user_ids: list[str]
    late: list[int]
    learning: list[int]
    duplicate: list[int]
    blatant: list[int]
    evidence: dict[int, msgspec.Raw]
    stamps: list[float]
    addresses: list[str]


_KEPT = msgspec.msgpack.Decoder(_Kept)


def recorded(
    part: Part, judged: Judged, answers: Sequence[bytes], repeats: frozenset[int]
) -> Recorded:
    """What is new of a part: everything but the rows in ``repeats``."""
    kept = _KEPT.decode(part.context)
    rows = [row for row in range(len(answers)) if row not in repeats]
    place = {row: index for index, row in enumerate(rows)}
    live = part.live
    return Recorded(
        event_ids=[part.event_ids[row] for row in rows],
        verdicts=[answers[row] for row in rows],
        columns=part.columns,
        values=part.matrix()[rows].tobytes() if repeats else part.values,
        stamps=np.array(kept.stamps)[rows].tobytes(),
        addresses=[kept.addresses[row] for row in rows],
        evidence={place[row]: bytes(raw) for row, raw in kept.evidence.items() if row in place},
        alerts=[place[row] for row in judged.alerts if row in place],
        shadow=live.variant == "shadow",
        version=live.version,
        path=live.path,
    )
