"""What travels between deployments: few objects, one contiguous payload per hop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensemble.explain.methods import Method
from models.base import View
from services.routing import Live, Routing

Framing = Literal["events", "array", "lines"]
"""How a payload holds events: one JSON object per part, one JSON array, or NDJSON."""


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one item of a payload was refused; ``index`` is its place among the items."""

    index: int
    event_id: str | None
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Payload:
    """Raw events on their way to the Preprocessor, who is to judge them, and what the baseline
    may learn by the way.

    ``ids``, one a part of ``events``, name the events without an id of their own; where there are
    none such an event is named by its bytes.
    """

    parts: list[bytes]
    framing: Framing
    learn: list[str]
    routing: Routing
    ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The events of a payload that one version is to judge, as that version sees them.

    ``values`` is float32 (rows, columns) as bytes, ``trails`` uint8 (rows, LENGTH, WIDTH) of
    ``preprocessing.trail``, ``context`` an encoded ``preprocessing.prepare.Context``.
    ``items`` gives each row's place in the payload, ``duplicates`` the rows whose event id is a
    repeated one. ``idle`` names the detectors that this version need not ask. ``events`` are the
    events as they came, each an encoded ``preprocessing.event.AuthEvent``; none for a version that
    only watches.
    """

    live: Live
    columns: int
    values: bytes
    context: bytes
    items: list[int]
    event_ids: list[str]
    duplicates: list[int] = field(default_factory=list)
    trails: bytes = b""
    events: list[bytes] = field(default_factory=list)
    idle: frozenset[str] = frozenset()

    def seen(self, view: View) -> bytes:
        """What a detector sees of these events."""
        return self.trails if view == "trails" else self.values

    def matrix(self) -> NDArray[np.float32]:
        """The feature values, float32 (rows, columns); read-only."""
        return np.frombuffer(self.values, np.float32).reshape(-1, self.columns)


@dataclass(frozen=True, slots=True)
class Features:
    """The Preprocessor's answer: every one of the ``items`` is in one part or in ``errors``.

    ``shadow`` holds all events once more, for the version that only watches. ``refused`` is set
    instead when the payload as a whole cannot be taken. ``alone``: the shared history was away.
    """

    items: int = 0
    parts: list[Part] = field(default_factory=list)
    shadow: Part | None = None
    errors: list[ItemError] = field(default_factory=list)
    refused: ItemError | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What one version of a detector sees of some events, on its way there."""

    version: str
    path: str
    rows: int
    values: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """One part on its way to the Combiner: with the raw scores (float64 as bytes) of the detectors
    that answered and a trace id per row."""

    live: Live
    columns: int
    values: bytes
    context: bytes
    raw: dict[str, bytes]
    trace_ids: list[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """The Combiner's answer to a case.

    ``learn`` are the ids that may join the baseline, ``alerts`` the flagged rows, and ``decades``
    counts the rows by how rare they are: [0] one in 1 to 10, [1] one in 10 to 100, ...
    """

    verdicts: list[bytes]
    learn: list[str]
    alerts: list[int]
    decades: list[int]
    degraded: bool
    reasons: dict[str, int] = field(default_factory=dict)
    """Alerts by "severity reason", the first reason of each."""


@dataclass(frozen=True, slots=True)
class Question:
    """Why an event got its verdict: what was kept of it, and by which ``method`` to explain it.

    ``verdict`` is JSON, ``values`` float32 as bytes, ``evidence`` an encoded
    ``preprocessing.history.Evidence``; ``path`` is where the bundle of ``version`` is.
    """

    method: Method
    version: str
    path: str
    verdict: bytes
    values: bytes
    evidence: bytes | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One version's verdicts on their way to the Recorder; rows are in the order of ``event_ids``.

    ``values`` is float32 (n, columns), ``stamps`` float64 (n,) seconds since the epoch, both as
    bytes. ``evidence`` holds the encoded baseline behind every notable row, ``alerts`` the flagged
    rows, ``traces`` the ``traceparent`` of the rows that are traced, ``users`` whose event it was,
    ``events`` the encoded ``AuthEvent`` of every row, or nothing where they are not to be kept.
    Verdicts of a ``shadow`` version were answered to nobody.
    """

    event_ids: list[str]
    verdicts: list[bytes]
    columns: int
    values: bytes
    stamps: bytes
    addresses: list[str]
    evidence: dict[int, bytes]
    alerts: list[int]
    shadow: bool = False
    version: str = ""
    path: str = ""
    traces: dict[int, str] = field(default_factory=dict)
    users: list[str] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)

    def row(self, event_id: str) -> int:
        """The row of an event; ValueError if it is not here."""
        return self.event_ids.index(event_id)

    def size_bytes(self) -> int:
        """What the verdicts, their events and what explains them take, roughly."""
        explaining = len(self.values) + sum(map(len, self.evidence.values()))
        return sum(map(len, self.verdicts)) + sum(map(len, self.events)) + explaining
