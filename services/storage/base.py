"""``Store``: what is kept of verdicts, and of who judged them, as the Recorder needs it.

``services/storage/verdicts.py`` keeps it in SQLite, in a file or in memory,
``services/storage/postgres`` in a PostgreSQL; every implementation passes
tests/contracts/test_stores.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from ensemble.verdict import Severity
from preprocessing.event import AuthEvent
from preprocessing.feedback import Disposition
from services.wire import Recorded


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept. What is beyond goes in this order: shadow verdicts, ordinary verdicts, and
    verdicts over the threshold with their evidence last; the oldest of each first. An event as it
    came goes with its verdict, that of an ordinary one after ``most_event_days`` at the latest.

    Of the ordinary ones the newest ``least_verdicts`` outlast alerts when space runs out: repeated
    events are answered with them. Their events do not. A PostgreSQL gives space back by whole days:
    there none of today goes, nor of those over the threshold, when space runs out. Feedback and
    audit lines go for their age alone.
    """

    most_bytes: int
    most_days: float
    most_alert_days: float
    most_verdicts: int | None = None
    """Ordinary verdicts at most; None: as many as there is space for."""
    least_verdicts: int = 1_000_000
    most_shadow: int = 1_000_000
    most_event_days: float = 30.0
    most_feedback_days: float = 1095.0
    most_audit_days: float = 365.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one event.

    ``values`` is float32 (columns,) as bytes, ``evidence`` an encoded
    ``preprocessing.history.Evidence``; both are None where they are not kept. ``path`` is
    where the bundle of ``version`` was, ``manifest`` the SHA-256 of its manifest (empty where it
    was not to be read). ``recorded_s`` is in seconds since the epoch. ``event`` is the event as it
    came, an encoded ``preprocessing.event.AuthEvent``; None once it is not kept any more.
    """

    verdict: bytes
    version: str
    path: str
    manifest: str
    recorded_s: float
    values: bytes | None = None
    evidence: bytes | None = None
    event: bytes | None = None


@dataclass(frozen=True, slots=True)
class Flagged:
    """A verdict over the threshold; ``place`` is its place in the order of recording."""

    place: int
    severity: Severity
    user_id: str
    verdict: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """Verdicts over the threshold in order of recording; ask for those after ``place`` next."""

    place: int
    flagged: list[Flagged] = field(default_factory=list)


class VerdictQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which verdicts, newest event first; all that is given must hold.

    ``since_s`` <= time of the event < ``until_s``, seconds since the epoch. ``reason`` is one
    of the verdict's reasons. ``after`` is the cursor of the page before.
    """

    since_s: float | None = None
    until_s: float | None = None
    user: str | None = None
    address: str | None = None
    severity_at_least: Severity | None = None
    reason: str | None = None
    version: str | None = None
    anomaly: bool | None = None
    after: tuple[float, int] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page:
    """Encoded verdicts; ``after`` is the cursor of the next page, None when this is the last."""

    verdicts: list[bytes]
    after: tuple[float, int] | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Encoded ``preprocessing.event.AuthEvent``; ``after`` is the cursor of the next page, None
    when this is the last."""

    events: list[bytes]
    after: tuple[float, int] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a shadow version would have flagged, against what was answered.

    Counts events of which both verdicts are kept; ``unmatched`` those of which only the shadow's
    is. ``live_reasons`` are the first reasons of what only the answering version flagged,
    ``shadow_reasons`` of what only the shadow did.
    """

    both: int = 0
    only_live: int = 0
    only_shadow: int = 0
    neither: int = 0
    unmatched: int = 0
    live_reasons: dict[str, int] = field(default_factory=dict)
    shadow_reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An event that one of two versions flags. Reasons are codes, None where not flagged."""

    event_id: str
    at_s: float
    live_severity: Severity
    live_reason: str | None
    shadow_severity: Severity
    shadow_reason: str | None


@dataclass(frozen=True, slots=True)
class RoutingEntry:
    """A routing put on record; ``at_s`` in seconds since the epoch."""

    revision: int
    at_s: float
    by: str
    note: str
    document: bytes


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody said of an event: see :class:`preprocessing.feedback.Feedback`. ``at_s`` in
    seconds since the epoch; without a disposition what was said before is taken back."""

    serial: int
    event_id: str
    user_id: str
    disposition: Disposition | None
    at_s: float
    by: str
    comment: str
    event: AuthEvent
    whole: bool


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line of the audit log: a JSON object. ``at_s`` in seconds since the epoch; ``line_id`` is
    its own, however often it is sent. ``serial`` grows in the order of recording; 0 until then."""

    line_id: str
    at_s: float
    document: bytes
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is. ``used_bytes`` is without free pages, ``file_bytes`` all that lies on the
    disk; ``oldest_s`` is when the oldest verdict was recorded, None if there is none."""

    ordinary: int
    flagged: int
    shadow: int
    used_bytes: int
    file_bytes: int
    oldest_s: float | None


class Store(Protocol):
    """Verdicts, and every routing. One writer; times in seconds since the epoch.

    Every method is one transaction: done as a whole when it returns, or not at all. Each raises
    :class:`services.storage.errors.StoreError`.
    """

    async def append(self, batches: Sequence[Recorded], now_s: float) -> int:
        """Keep verdicts with their events; the first of an event stays. Returns how many are new.

        Features and evidence are kept of flagged verdicts and of those with a score of at least
        0.99: among ordinary events, the rarest 1 % by the definition of the calibrated score.
        Raises ValueError for what is no verdict.
        """

    async def first(self, event_ids: Sequence[str]) -> dict[str, bytes]:
        """The encoded verdicts of those events that are kept."""

    async def get(self, event_id: str) -> Kept | None:
        """What is kept of an event; never of a shadow version."""

    async def page(self, query: VerdictQuery) -> Page:
        """One page of verdicts."""

    async def events(
        self, since_s: float, until_s: float, after: tuple[float, int] | None, limit: int
    ) -> EventPage:
        """One page of the events with ``since_s`` <= time < ``until_s``, oldest first; those of one
        time in the order of recording. ``after`` is the cursor of the page before."""

    async def flagged(self, after: int | None, limit: int) -> Tail:
        """Verdicts over the threshold recorded after a place; with None, none and the last place.

        A place that does not exist yet, as from a store that was lost, counts as the last one.
        """

    async def unoffered(self, limit: int) -> tuple[Recorded, int] | None:
        """The oldest flagged verdicts that nobody said to be :meth:`offered`, and the place of the
        last of them; None if there are none."""

    async def offered(self, place: int) -> None:
        """Everything up to a place has been offered to whoever makes alerts of it."""

    async def compare(self, version: str, since_s: float) -> Comparison:
        """The verdicts of a shadow version on events since then, against the answered ones."""

    async def disagreements(self, version: str, since_s: float, limit: int) -> list[Disagreement]:
        """Events that only one of the two flagged, newest first."""

    async def save_routing(self, document: bytes, by: str, note: str, now_s: float) -> int:
        """Put a routing on record; its revision is one more than the one before."""

    async def routings(self, limit: int) -> list[RoutingEntry]:
        """The last routings on record, newest first."""

    async def say(
        self, event_id: str, disposition: Disposition | None, by: str, comment: str, now_s: float
    ) -> Opinion | None:
        """Put on record what somebody says of an event, with a serial above all others; None if
        nothing is known of the event."""

    async def opinion(self, serial: int) -> Opinion | None:
        """What was said under a serial."""

    async def opinions(
        self,
        *,
        user: str | None = None,
        event_id: str | None = None,
        before: int | None = None,
        limit: int,
    ) -> list[Opinion]:
        """The last things said, newest first; those with a serial below ``before``."""

    async def opinions_after(self, serial: int, limit: int) -> list[Opinion]:
        """The first things said after a serial, in order."""

    async def audit(self, lines: Sequence[AuditLine]) -> None:
        """Put lines of the audit log on record; those that are already stay as they are."""

    async def audits(self, before: int | None, limit: int) -> list[AuditLine]:
        """The last audit lines, newest first; those with a serial below ``before``."""

    async def trim(self, now_s: float, most: int) -> int:
        """Remove at most so many verdicts, and events whose verdict stays, that are beyond the
        limits, or some days of them where days go whole. Returns how many; fewer than ``most`` when
        nothing more is to be removed."""

    async def size(self) -> Size:
        """How much there is."""

    def close(self) -> None:
        """Finish what is under way; nothing may be called after it."""
