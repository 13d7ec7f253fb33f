"""Events in, features and evidence out: the first stage of the pipeline, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from preprocessing.event import AuthEvent
from preprocessing.features import Levels, extract
from preprocessing.history import Evidence, UserHistory


class Context(msgspec.Struct, array_like=True, frozen=True):
    """What the decision needs of n events besides their features; travels as bytes.

    ``evidence`` maps the row of every notable event to its evidence; ``late``, ``learning`` and
    ``duplicate`` list rows.
    """

    event_ids: list[str]
    user_ids: list[str]
    late: list[int]
    learning: list[int]
    duplicate: list[int]
    evidence: dict[int, Evidence]

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Context:
        return _CONTEXT.decode(data)


_CONTEXT = msgspec.msgpack.Decoder(Context)


@dataclass(frozen=True, slots=True)
class Prepared:
    """``features`` float32 (n, d) for the detectors, ``context`` for the decision."""

    features: NDArray[np.float32]
    context: Context


def prepare(
    events: Sequence[AuthEvent], history: UserHistory, levels: Levels, *, now_s: float
) -> Prepared:
    """Observe n events in order; evidence is taken for those with a value beyond its level."""
    facts = history.observe(events, now_s=now_s)
    features = extract(events, facts).values
    evidence = {
        row: history.evidence(events[row], facts, row)
        for row in np.flatnonzero(levels.notable(features)).tolist()
    }
    context = Context(
        event_ids=[event.event_id for event in events],
        user_ids=[event.user_id for event in events],
        late=np.flatnonzero(facts.late).tolist(),
        learning=np.flatnonzero(facts.learning).tolist(),
        duplicate=np.flatnonzero(facts.duplicate).tolist(),
        evidence=evidence,
    )
    return Prepared(features, context)
