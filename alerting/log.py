"""``AlertLog``: everything about alerting that survives a restart, as this package needs it.

``alerting/memory_log.py`` keeps it in memory, ``services/storage/alert_log.py`` in SQLite or
a PostgreSQL; all pass tests/contracts/test_alert_logs.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from alerting.alert import Alert, Occurrence
from ensemble.verdict import Severity

DeliveryKind = Literal["alert", "digest"]
DeliveryState = Literal["held", "waiting", "sending", "sent", "failed"]
Status = Literal["open", "acknowledged"]

#: Events at the beginning and at the end of a chain that are kept whole. Of those between them,
#: which only a flood has, a log keeps the ids.
FIRST_KEPT = 100
LAST_KEPT = 400


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message on its way over one channel.

    ``held`` until its digest is due at ``due_s``; ``waiting`` for its (next) attempt at ``due_s``;
    ``sending`` from just before an attempt until its outcome is known, so that a crash in between
    repeats exactly what may not have got through; then ``sent`` or ``failed``.
    """

    delivery_id: str
    channel: str
    kind: DeliveryKind
    alert_ids: tuple[str, ...]
    severity: Severity
    created_s: float
    due_s: float
    state: DeliveryState = "waiting"
    attempts: int = 0
    finished_s: float | None = None
    problem: str = ""
    traceparent: str = ""


class News(msgspec.Struct, frozen=True):
    """When a fingerprint was last told, and how severe it was."""

    at_s: float
    severity: Severity


class Matchers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a silence covers; all that is given must hold. At least one is."""

    users: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    severity_below: Severity | None = None
    no_other_reason: bool = False
    """All main reasons of the alert's events are among ``reasons``, not just one."""


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that match are kept and shown, and not told, from ``from_s`` until ``until_s``."""

    silence_id: str
    matchers: Matchers
    from_s: float
    until_s: float
    created_by: str
    comment: str


class AlertQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts, newest first. ``since_s`` <= opened < ``until_s``; ``after`` is the place of
    the last alert of the page before: (``opened_s``, ``alert_id``). ``user`` and ``address`` are
    among those that the alert lists, ``reason`` among the main reasons of its events."""

    severity_at_least: Severity | None = None
    user: str | None = None
    address: str | None = None
    reason: str | None = None
    status: Status | None = None
    channel: str | None = None
    delivery: DeliveryState | None = None
    since_s: float | None = None
    until_s: float | None = None
    after: tuple[float, str] | None = None
    limit: int = 50


class AlertLog(Protocol):
    """Alerts, their events, and what was told of them.

    Every method is one transaction: done as a whole when it returns, or not at all. One writer.
    """

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        """Those of the events that belong to an alert already."""

    async def latest(self, subject: str) -> Alert | None:
        """The subject's newest alert."""

    async def join(
        self, alerts: Sequence[Alert], occurrences: Sequence[tuple[str, Occurrence]]
    ) -> None:
        """Save alerts, and add events to the chains of the alerts of these ids."""

    async def save(self, alert: Alert) -> None:
        """Save an alert whose chain has not changed."""

    async def due(self, now_s: float, limit: int) -> list[Alert]:
        """Alerts whose ``notify_s`` has come, the most severe first."""

    async def next_notify(self) -> float | None:
        """The earliest ``notify_s``."""

    async def news(self, fingerprints: Sequence[str]) -> dict[str, News]:
        """When these were last told; without those that never were."""

    async def told(
        self, alert: Alert, deliveries: Sequence[Delivery], news: Mapping[str, News]
    ) -> None:
        """Save an alert that was considered for telling, and what is to be sent of it.

        A message says what is known when it is sent, so one per alert and channel is enough: a new
        delivery replaces those that are held or wait, except that one to be held gives way to one
        that waits. One whose attempt is under way stays.
        """

    async def alert(self, alert_id: str) -> Alert | None:
        """The alert of an id."""

    async def chain(self, alert_id: str, *, first: int, last: int) -> list[Occurrence]:
        """The first and the last events of an alert, by time; all of them if there are no more.

        Of a long chain :data:`FIRST_KEPT` and :data:`LAST_KEPT` events are there to choose from.
        """

    async def alerts(self, query: AlertQuery) -> list[Alert]:
        """Alerts by ``opened_s``, newest first."""

    async def silences(self, now_s: float) -> list[Silence]:
        """Silences that are not over."""

    async def silence(self, silence: Silence) -> None:
        """Add or replace a silence."""

    async def prune(self, before_s: float) -> int:
        """Forget alerts last updated before then, of which nothing waits to be sent. Returns how
        many; news and silences of before then go too."""


class DeliveryLog(Protocol):
    """What is to be sent, by channel. Every method is one transaction."""

    async def resume(self) -> int:
        """After a start: what was ``sending`` is ``waiting`` again. Returns how many."""

    async def waiting(self, channel: str, now_s: float) -> Delivery | None:
        """What to send next: due, with the fewest attempts, the most severe, the oldest."""

    async def next_due(self, channel: str) -> float | None:
        """When the next delivery of a channel is due, ``held`` ones included."""

    async def put(self, delivery: Delivery) -> None:
        """Save a delivery under its id."""

    async def held(self, channel: str) -> list[Delivery]:
        """What is held for the channel's digest."""

    async def digest(self, digest: Delivery) -> None:
        """Save a digest, in place of what was held for its channel."""

    async def deliveries(self, alert_id: str) -> list[Delivery]:
        """All deliveries of an alert, oldest first."""

    async def sent_since(self, channel: str, since_s: float) -> list[float]:
        """``created_s`` of single messages made for a channel since then, held ones apart."""

    async def expire(
        self, channels: Collection[str], *, before_s: float, now_s: float, problem: str
    ) -> int:
        """Fail what waits, or is held, since before then for any channel but these. Returns how
        many."""

    async def counts(self) -> dict[tuple[str, DeliveryState], int]:
        """How many deliveries there are, by channel and state."""


class FullLog(AlertLog, DeliveryLog, Protocol):
    """Both; what an implementation offers."""
