"""``Recorder``: keeps verdicts and decisions, makes alerts of verdicts. Off the scoring path.

One replica, which owns the files of the store. Nothing it has confirmed is lost when it is killed;
callers send again what it has not confirmed. A store that cannot be used does not stop anybody: it
is told in the log and in metrics, and verdicts are kept in memory meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from alerting.log import AlertQuery, Silence
from preprocessing.feedback import Disposition, Feedback
from services import opinions
from services.alerting import Alerts
from services.intake import Intake
from services.recent import Recent
from services.recorder_metrics import RecorderMetrics
from services.storage.base import (
    AuditLine,
    Comparison,
    Disagreement,
    Kept,
    Limits,
    Opinion,
    Page,
    RoutingEntry,
    Store,
    Tail,
    VerdictQuery,
)
from services.storage.errors import StoreError, TooLong
from services.storage.opening import open_alert_log, open_store
from services.storage.postgres.address import checked
from services.telemetry import Tracing
from services.watching import Watch
from services.wire import Recorded

LOG = logging.getLogger("ztad.recorder")

S = TypeVar("S")
T = TypeVar("T")

DAYS_FILE_NAME = "active-users"
#: What is kept in memory when there is no file.
MEMORY_BYTES = 256 << 20
MEMORY_VERDICTS = 100_000
#: Flagged verdicts offered at once to whoever makes alerts of them.
OFFER_AT_ONCE = 500
#: Pause after alerts could not be made, seconds.
OFFER_PAUSE_S = 1.0
#: Longest wait of a question for what is yet to come, seconds. Less than a replica has to stop.
MOST_WAIT_S = 2.0


class RecorderArgs(BaseModel):
    """What the Recorder keeps, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    store_dir: str | None = None
    """Folder of the store's files; without it everything is in memory and little of it is kept."""
    database: str | None = None
    """``postgresql://user@host:port/name``, where verdicts and alerts are kept instead of in
    files; the password is in ``PGPASSWORD`` or the file ``PGPASSFILE`` names."""
    most_bytes: int = Field(default=10_000_000_000, ge=64 << 20)
    """Most that verdicts may take on the disk."""
    most_days: float = Field(default=30.0, gt=0)
    """How long ordinary verdicts are kept."""
    most_event_days: float = Field(default=30.0, gt=0)
    """How long the events of ordinary verdicts are kept as they came, as long as the verdict at
    most."""
    most_alert_days: float = Field(default=365.0, gt=0)
    """How long verdicts over the threshold are kept, with event, features and baseline."""
    most_feedback_days: float = Field(default=1095.0, gt=0)
    """How long it is kept what analysts said of events."""
    most_audit_days: float = Field(default=365.0, gt=0)
    """How long audit lines are kept."""
    most_verdicts: int | None = Field(default=None, ge=1)
    """Most verdicts kept beside those over the threshold; without it as many as there is space."""
    alert_rules: str | None = None
    """YAML file of the alert rules, which may be changed at any time."""

    @field_validator("database")
    @classmethod
    def _without_secrets(cls, address: str | None) -> str | None:
        return None if address is None else checked(address)


class Recorder:
    """See the module. Methods are called by other deployments; the first call starts the work."""

    def __init__(self, args: RecorderArgs, tracing: bool = False) -> None:
        self._args = args
        self._metrics = RecorderMetrics()
        folder = Path(args.store_dir) if args.store_dir else None
        self._store: Store = self._opened(
            args.database or args.store_dir,
            lambda where: open_store(where, _limits(args, where)),
        )
        self._watch = Watch(
            self._metrics, Tracing(enabled=tracing), folder and folder / DAYS_FILE_NAME
        )
        log = self._opened(args.database or args.store_dir, open_alert_log)
        rules = Path(args.alert_rules) if args.alert_rules else None
        self._log = log
        self._alerts = Alerts(rules, log, self._watch.alerting)
        self._intake = Intake(self._append, self._trim, self._metrics.write.observe)
        self._recent = Recent()
        self._news = asyncio.Event()
        self._problem = ""
        self._tasks: list[asyncio.Task[None]] = []

    # Verdicts

    async def record(self, batches: list[Recorded]) -> bool:
        """True once the verdicts are on record, and survive this process; the first of an event
        stays. False if they cannot be stored now: send them again.

        Raises ValueError for what is no verdict.
        """
        self._begin()
        return await self._intake.take(batches)

    async def first(self, event_ids: list[str]) -> dict[str, bytes]:
        """The encoded first verdicts of those ids that are known; none if nobody can tell now."""
        try:
            return await self._ask(lambda store: store.first(event_ids))
        except StoreError:
            return {}

    async def get(self, event_id: str) -> Kept | None:
        """What is kept of an event. Like all that follow, raises :class:`StoreError`."""
        kept = await self._ask(lambda store: store.get(event_id))
        if kept is None or kept.values is not None:
            return kept
        return replace(kept, values=self._recent.values(event_id))

    async def page(self, query: VerdictQuery) -> Page:
        """One page of verdicts."""
        return await self._ask(lambda store: store.page(query))

    async def flagged(self, after: int | None, limit: int, wait_s: float = 0.0) -> Tail:
        """Verdicts over the threshold, see :meth:`Store.flagged`; waits for the first for a while
        if there are none."""
        news = self._news
        tail = await self._ask(lambda store: store.flagged(after, limit))
        if tail.flagged or after is None or tail.place < after or wait_s <= 0:
            return tail
        try:
            async with asyncio.timeout(min(wait_s, MOST_WAIT_S)):
                await news.wait()
        except TimeoutError:
            return tail
        return await self._ask(lambda store: store.flagged(after, limit))

    # Comparing versions, and who decided what

    async def compare(self, version: str, since_s: float) -> Comparison:
        """A shadow version against what was answered since then."""
        return await self._ask(lambda store: store.compare(version, since_s))

    async def disagreements(self, version: str, since_s: float, limit: int) -> list[Disagreement]:
        """Events that only one of the two flagged, newest first."""
        return await self._ask(lambda store: store.disagreements(version, since_s, limit))

    async def save_routing(self, document: bytes, by: str, note: str) -> int:
        """Put a routing on record; its revision is one more than the one before."""
        return await self._ask(lambda store: store.save_routing(document, by, note, time.time()))

    async def routing(self) -> tuple[int, bytes] | None:
        """Revision and document of the routing last put on record."""
        last = await self.routing_history(1)
        return (last[0].revision, last[0].document) if last else None

    async def routing_history(self, limit: int) -> list[RoutingEntry]:
        """The last routings on record, newest first."""
        return await self._ask(lambda store: store.routings(limit))

    # What analysts say

    async def give_feedback(
        self, event_id: str, disposition: Disposition | None, by: str, comment: str
    ) -> Opinion | None:
        """See :func:`services.opinions.say`."""
        now_s = time.time()
        said = await self._ask(
            lambda store: opinions.say(
                store, self._alerts, event_id, disposition, by=by, comment=comment, now_s=now_s
            )
        )
        self._metrics.said(said)
        return said

    async def undo_feedback(self, serial: int, by: str) -> Opinion | None:
        """See :func:`services.opinions.take_back`."""
        now_s = time.time()
        said = await self._ask(
            lambda store: opinions.take_back(store, self._alerts, serial, by=by, now_s=now_s)
        )
        self._metrics.said(said)
        return said

    async def feedback(
        self, user: str | None, event_id: str | None, before: int | None, limit: int
    ) -> list[Opinion]:
        """What was said, newest first."""
        return await self._ask(
            lambda store: store.opinions(user=user, event_id=event_id, before=before, limit=limit)
        )

    async def feedback_after(self, serial: int) -> list[Feedback]:
        """What a history that has heard up to a serial is to hear next, in order."""
        found = await self._ask(lambda store: store.opinions_after(serial, opinions.AT_ONCE))
        return [opinions.heard(one) for one in found]

    # Who changed what

    async def audit(self, lines: list[AuditLine]) -> None:
        """Put audit lines on record, each once."""
        await self._ask(lambda store: store.audit(lines))

    async def audits(self, before: int | None, limit: int) -> list[AuditLine]:
        """The last audit lines, newest first; those with a serial below ``before``."""
        return await self._ask(lambda store: store.audits(before, limit))

    async def metrics(self) -> bytes:
        """Prometheus' text format, see docs/metrics.md; of a store in trouble what is known."""
        self._metrics.waiting.set(self._intake.waiting)
        alerts = b""
        try:
            self._metrics.tell(await self._ask(lambda store: store.size()), time.time())
            alerts = await self._alerts.metrics()
        except StoreError as error:
            LOG.debug("not all metrics can be told: %s", error)
        return self._watch.page() + alerts

    # Alerts: what ``services.routes.alerts`` asks

    async def alerts(self, query: AlertQuery) -> bytes:
        """One page of alerts."""
        self._begin()
        return await self._alerts.alerts(query)

    async def alert(self, alert_id: str) -> bytes | None:
        """An alert with its events and what was sent of it."""
        self._begin()
        return await self._alerts.alert(alert_id)

    async def acknowledge(self, alert_id: str, by: str, note: str) -> bytes | None:
        """Somebody works on an alert."""
        self._begin()
        return await self._alerts.acknowledge(alert_id, by, note)

    async def silences(self) -> bytes:
        """Silences that are not over."""
        self._begin()
        return await self._alerts.silences()

    async def silence(self, silence: Silence) -> bytes:
        """Add a silence."""
        self._begin()
        return await self._alerts.silence(silence)

    async def end_silence(self, silence_id: str, now_s: float) -> bytes | None:
        """End a silence before its time."""
        self._begin()
        return await self._alerts.end_silence(silence_id, now_s)

    def close(self) -> None:
        """Finish what is under way; nothing may be called after it."""
        for task in self._tasks:
            task.cancel()
        self._watch.save()
        self._store.close()
        self._log.close()

    def __del__(self) -> None:
        """Serve's way to say that this replica ends."""
        if hasattr(self, "_tasks"):
            self.close()

    def _begin(self) -> None:
        """Tasks need the event loop that the methods are called on."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            steps = (self._intake.run, self._offer_forever)
            self._tasks = [loop.create_task(step()) for step in steps]

    async def _ask(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        self._begin()
        store = self._store
        try:
            return await ask(store)
        except StoreError as error:
            self._failed(store, error)
            raise

    async def _append(self, batches: Sequence[Recorded]) -> None:
        with self._watch.writing(batches):
            new = await self._ask(lambda store: store.append(batches, time.time()))
        for batch in batches:
            if not batch.shadow:
                self._recent.put(batch)
        self._metrics.written.inc(new)
        self._problem = ""
        if any(batch.alerts and not batch.shadow for batch in batches):
            news, self._news = self._news, asyncio.Event()
            news.set()

    async def _trim(self, most: int) -> int:
        gone = await self._ask(lambda store: store.trim(time.time(), most))
        self._metrics.removed.inc(gone)
        return gone

    async def _offer_forever(self) -> None:
        """Make alerts of what was recorded, in order; what is left of an earlier run first."""
        started = False
        while True:
            news = self._news
            try:
                if not started:
                    await self._alerts.start()
                    started = True
                offered = await self._offer()
            except Exception:
                LOG.exception("alerts wait: they cannot be made now")
                self._metrics.unoffered.set(1)
                await asyncio.sleep(OFFER_PAUSE_S)
                continue
            if not offered:
                self._metrics.unoffered.set(0)
                await news.wait()

    async def _offer(self) -> bool:
        found = await self._ask(lambda store: store.unoffered(OFFER_AT_ONCE))
        if found is None:
            return False
        recorded, place = found
        await self._alerts.offer(recorded)
        await self._ask(lambda store: store.offered(place))
        return True

    def _opened(self, where: str | None, make: Callable[[str | None], S]) -> S:
        """What ``make`` opens; if it cannot be, the same in memory."""
        try:
            return make(where)
        except StoreError as error:
            LOG.error("%s. Until then it is kept in memory, and little of it", error)
            self._metrics.degraded.set(1)
            return make(None)

    def _failed(self, store: Store, error: StoreError) -> None:
        if isinstance(error, TooLong):  # the store is well
            return
        self._metrics.failures.inc()
        if str(error) != self._problem:
            self._problem = str(error)
            LOG.error("%s. Verdicts wait meanwhile", error)
        if error.lasting and store is self._store:
            LOG.error("verdicts are kept in memory from now on, and few of them")
            self._metrics.degraded.set(1)
            self._store = open_store(None, _limits(self._args, None))
            asyncio.get_running_loop().run_in_executor(None, store.close)


def _limits(args: RecorderArgs, where: str | None) -> Limits:
    limits = Limits(
        args.most_bytes,
        args.most_days,
        args.most_alert_days,
        args.most_verdicts,
        most_event_days=args.most_event_days,
        most_feedback_days=args.most_feedback_days,
        most_audit_days=args.most_audit_days,
    )
    if where is not None:
        return limits
    most = args.most_verdicts or MEMORY_VERDICTS
    most_bytes = min(args.most_bytes, MEMORY_BYTES)
    return replace(
        limits, most_bytes=most_bytes, most_verdicts=most, least_verdicts=most, most_shadow=most
    )
