"""Events in, features and evidence out: the first stage of the pipeline, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from preprocessing.event import AuthEvent
from preprocessing.features import extract, plain
from preprocessing.history import Evidence, UserHistory
from preprocessing.surprise import Surprise, notable


class Context(msgspec.Struct, array_like=True, frozen=True):
    """What the decision needs of n events besides their features; travels as bytes.

    ``evidence`` maps the row of every notable event to its evidence; ``late``, ``learning``,
    ``duplicate`` and ``blatant`` (with a value that is never ordinary) list rows.
    """

    event_ids: list[str]
    user_ids: list[str]
    late: list[int]
    learning: list[int]
    duplicate: list[int]
    blatant: list[int]
    evidence: dict[int, Evidence]

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Context:
        return _CONTEXT.decode(data)


_CONTEXT = msgspec.msgpack.Decoder(Context)


@dataclass(frozen=True, slots=True)
class Prepared:
    """``features`` float32 (n, d), in decades of surprise, for the detectors; ``context`` for the
    decision."""

    features: NDArray[np.float32]
    context: Context


def prepare(
    events: Sequence[AuthEvent], history: UserHistory, surprise: Surprise, *, now_s: float
) -> Prepared:
    """Observe n events in order; evidence is taken for those with a notable value."""
    facts = history.observe(events, now_s=now_s)
    values = extract(events, facts).values
    features = surprise(values)
    evidence = {
        row: history.evidence(events[row], facts, row)
        for row in np.flatnonzero(notable(features)).tolist()
    }
    context = Context(
        event_ids=[event.event_id for event in events],
        user_ids=[event.user_id for event in events],
        late=np.flatnonzero(facts.late).tolist(),
        learning=np.flatnonzero(facts.learning).tolist(),
        duplicate=np.flatnonzero(facts.duplicate).tolist(),
        blatant=np.flatnonzero(~plain(values)).tolist(),
        evidence=evidence,
    )
    return Prepared(features, context)
