"""Events in, features and evidence out: the first stage of the pipeline, whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from preprocessing.event import AuthEvent, AuthKind
from preprocessing.features import DEFAULT_WINDOWS, Windows, extract, plain
from preprocessing.history import Evidence, Facts, UserHistory
from preprocessing.surprise import Surprise, arresting, notable


class Context(msgspec.Struct, array_like=True, frozen=True):
    """What is known of n events besides their features; travels as bytes.

    ``evidence`` maps the row of every notable event to its encoded :class:`Evidence`, which few
    verdicts need. ``late``, ``learning``, ``duplicate``, ``blatant`` (with a value that is never
    ordinary, or of somebody back after long absence: not learned when flagged) and ``marked`` (an
    attacker's whom an analyst has found) list rows. ``stamps`` are seconds since the epoch,
    ``addresses`` source addresses or empty, ``kinds`` the ``auth_kind`` of each event.
    """

    event_ids: list[str]
    user_ids: list[str]
    late: list[int]
    learning: list[int]
    duplicate: list[int]
    blatant: list[int]
    evidence: dict[int, bytes]
    stamps: list[float] = []
    addresses: list[str] = []
    marked: list[int] = []
    kinds: list[AuthKind] = []

    def shown(self, row: int) -> Evidence | None:
        """The evidence of a row, if there is any."""
        encoded = self.evidence.get(row)
        return None if encoded is None else _EVIDENCE.decode(encoded)

    def encode(self) -> bytes:
        return _ENCODE(self)

    @classmethod
    def decode(cls, data: bytes) -> Context:
        return _CONTEXT.decode(data)


_CONTEXT = msgspec.msgpack.Decoder(Context)
_EVIDENCE = msgspec.msgpack.Decoder(Evidence)
_ENCODE = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Lens:
    """How one model version sees events: over which windows, and how surprising each value is."""

    surprise: Surprise
    windows: Windows = DEFAULT_WINDOWS


@dataclass(frozen=True, slots=True)
class Prepared:
    """What detectors see, and ``context`` for the decision.

    ``features`` are float32 (n, d), in decades of surprise; ``trails`` uint8 (n, LENGTH, WIDTH),
    the user's last events and the event itself (preprocessing/trail.py).
    """

    features: NDArray[np.float32]
    trails: NDArray[np.uint8]
    context: Context

    @property
    def views(self) -> Mapping[str, NDArray[Any]]:
        """What a detector may see, by the name that it declares."""
        return {"features": self.features, "trails": self.trails}


class Observed:
    """Events that the history has taken in, to be seen through the lens of any version.

    Good until the history learns or observes again: the evidence is the baseline as of now.
    """

    def __init__(self, events: Sequence[AuthEvent], facts: Facts, history: UserHistory) -> None:
        self._events = events
        self._facts = facts
        self._history = history
        self._values: dict[Windows, NDArray[np.float32]] = {}

    @property
    def alone(self) -> bool:
        """Whether others may know more of these events, who could not be asked."""
        return self._facts.alone

    def through(self, lens: Lens, rows: Sequence[int] | None = None) -> Prepared:
        """Features and context of some rows, or of all; evidence for those with a notable value."""
        events, facts = self._events, self._facts
        values = self._extracted(lens.windows)
        late, learning, duplicate = facts.late, facts.learning, facts.duplicate
        trails = facts.trails
        if rows is not None:
            events = [events[row] for row in rows]
            values, late = values[rows], late[rows]
            learning, duplicate = learning[rows], duplicate[rows]
            trails = trails[rows]
        features = lens.surprise(values)
        evidence = {
            row: self._history.evidence(events[row], facts, row if rows is None else rows[row])
            for row in np.flatnonzero(notable(features)).tolist()
        }
        for row in evidence.keys() & np.flatnonzero(arresting(features)).tolist():
            evidence[row] = self._history.with_typical(evidence[row])
        context = Context(
            event_ids=[event.event_id for event in events],
            user_ids=[event.user_id for event in events],
            late=np.flatnonzero(late).tolist(),
            learning=np.flatnonzero(learning).tolist(),
            duplicate=np.flatnonzero(duplicate).tolist(),
            blatant=sorted(
                {*np.flatnonzero(~plain(values)).tolist(), *_among(facts.returned, rows)}
            ),
            evidence={row: _ENCODE(one) for row, one in evidence.items()},
            stamps=[event.timestamp.timestamp() for event in events],
            addresses=[event.source_ip or "" for event in events],
            marked=_among(facts.marked, rows),
            kinds=[event.auth_kind for event in events],
        )
        return Prepared(features, trails, context)

    def encoded(self, rows: Sequence[int] | None = None) -> list[bytes]:
        """Those events as they came, each as MessagePack of an :class:`AuthEvent`."""
        packed = self._facts.packed
        return list(packed) if rows is None else [packed[row] for row in rows]

    def _extracted(self, windows: Windows) -> NDArray[np.float32]:
        values = self._values.get(windows)
        if values is None:
            values = self._values[windows] = extract(self._events, self._facts, windows).values
        return values


def _among(found: Sequence[int], rows: Sequence[int] | None) -> list[int]:
    """Places in ``rows`` of the rows that were found."""
    if rows is None or not found:
        return list(found)
    wanted = frozenset(found)
    return [place for place, row in enumerate(rows) if row in wanted]


def observe(events: Sequence[AuthEvent], history: UserHistory, *, now_s: float) -> Observed:
    """Have n events observed, in order."""
    return Observed(events, history.observe(events, now_s=now_s), history)


def prepare(
    events: Sequence[AuthEvent], history: UserHistory, lens: Lens, *, now_s: float
) -> Prepared:
    """Observe n events in order and see them through one lens."""
    return observe(events, history, now_s=now_s).through(lens)
