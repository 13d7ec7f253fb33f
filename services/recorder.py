"""``Recorder``: keeps verdicts and decisions, makes alerts of verdicts. Off the scoring path.

One replica, which owns the files of the store. Nothing it has confirmed is lost when it is killed;
callers send again what it has not confirmed. A store that cannot be used does not stop anybody: it
is told in the log and in metrics, and verdicts wait on the disk meanwhile
(``services/backlog.py``); without a folder they are kept in memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from alerting.log import AlertQuery, Silence
from alerting.trouble import Trouble
from preprocessing.feedback import Disposition, Feedback
from services import opinions
from services.alerting import Alerts
from services.backlog import Backlog
from services.intake import Intake
from services.opened import OpenedAlertLog, OpenedStore, RecorderArgs
from services.recent import Recent
from services.recorder_metrics import RecorderMetrics
from services.records import kept_of, only
from services.storage.base import (
    AuditLine,
    Comparison,
    Disagreement,
    Kept,
    Opinion,
    Page,
    RoutingEntry,
    Store,
    Tail,
    VerdictQuery,
)
from services.storage.errors import StoreError, TooLong
from services.storage.spool import SPOOL_NAME, Spool
from services.telemetry import Tracing
from services.watching import Watch
from services.wire import Recorded

__all__ = ["Recorder", "RecorderArgs"]

LOG = logging.getLogger("ztad.recorder")

T = TypeVar("T")

DAYS_FILE_NAME = "active-users"
#: Flagged verdicts offered at once to whoever makes alerts of them.
OFFER_AT_ONCE = 500
#: Pause after alerts could not be made, seconds.
OFFER_PAUSE_S = 1.0
#: Batches whose alerts are made before the store has them; those of more follow with the store.
MOST_UNSTORED = 1000
#: A store that is away, and may be read all the same, is waited for so long, seconds: less than a
#: repeated event waits for its first verdict.
AWAY_PATIENCE_S = 0.25
#: Longest wait of a question for what is yet to come, seconds. Less than a replica has to stop.
MOST_WAIT_S = 2.0


class Recorder:
    """See the module. Methods are called by other deployments; the first call starts the work."""

    def __init__(self, args: RecorderArgs, tracing: bool = False) -> None:
        self._args = args
        self._metrics = RecorderMetrics()
        folder = Path(args.store_dir) if args.store_dir else None
        spool = _spool(args)
        self._backlog = Backlog(spool, self._write, self._unstored) if spool else None
        self._store = OpenedStore(args, self._metrics, patient=spool is not None)
        self._flagged: deque[Recorded] = deque(maxlen=MOST_UNSTORED)
        self._watch = Watch(
            self._metrics, Tracing(enabled=tracing), folder and folder / DAYS_FILE_NAME
        )
        self._log = OpenedAlertLog(args)
        rules = Path(args.alert_rules) if args.alert_rules else None
        self._alerts = Alerts(rules, self._log, self._watch.alerting)
        append = self._backlog.append if self._backlog else self._write
        self._intake = Intake(append, self._trim, self._metrics.write.observe)
        self._recent = Recent()
        self._news = asyncio.Event()
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
        found: dict[str, bytes] = {}
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(AWAY_PATIENCE_S if self._away else None):
                found |= await self._ask(lambda store: store.first(event_ids))
        missing = [event_id for event_id in event_ids if event_id not in found]
        return found | {
            event_id: batch.verdicts[batch.row(event_id)]
            for event_id, batch in (await self._spooled(missing)).items()
        }

    async def get(self, event_id: str) -> Kept | None:
        """What is kept of an event. Like all that follow, raises :class:`StoreError`."""
        spooled = await self._spooled([event_id])
        if self._away and spooled:
            return kept_of(spooled[event_id], event_id)
        kept = await self._ask(lambda store: store.get(event_id))
        if kept is None:
            return kept_of(spooled[event_id], event_id) if spooled else None
        return kept if kept.values else replace(kept, values=self._recent.values(event_id))

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
        if self._backlog is not None:
            self._backlog.tell(self._metrics)
        alerts = b""
        try:
            self._metrics.tell(await self._ask(lambda store: store.size()), time.time())
            alerts = await self._alerts.metrics()
        except StoreError as error:
            LOG.debug("not all metrics can be told: %s", error)
        self._metrics.degraded.set(self._store.broken or self._log.broken)
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
        if self._backlog is not None:
            self._backlog.close()
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
            steps = [self._intake.run, self._offer_forever]
            if self._backlog is not None:
                steps += [self._backlog.run, self._backlog.sync]
            self._tasks = [loop.create_task(step()) for step in steps]

    async def _ask(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        self._begin()
        return await self._store.ask(ask)

    @property
    def _away(self) -> bool:
        return self._backlog is not None and self._backlog.away

    async def _spooled(self, event_ids: Sequence[str]) -> dict[str, Recorded]:
        """What waits on the disk of these events."""
        if self._backlog is None or not event_ids:
            return {}
        return await self._backlog.find(event_ids)

    def _unstored(self, batches: Sequence[Recorded]) -> None:
        """Alerts do not wait for the store; made again once it is back, they change nothing."""
        self._arrived(batches)
        self._flagged.extend(only(each, each.alerts) for each in _flagged(batches))

    async def _write(self, batches: Sequence[Recorded]) -> None:
        with self._watch.writing(batches):
            new = await self._ask(lambda store: store.append(batches, time.time()))
        self._arrived(batches)
        self._metrics.written.inc(new)
        self._store.well()

    def _arrived(self, batches: Sequence[Recorded]) -> None:
        for batch in batches:
            if not batch.shadow:
                self._recent.put(batch)
        if _flagged(batches):
            news, self._news = self._news, asyncio.Event()
            news.set()

    async def _trim(self, most: int) -> int:
        if self._away:
            return 0
        gone = await self._ask(lambda store: store.trim(time.time(), most))
        self._metrics.removed.inc(gone)
        return gone

    async def _offer_forever(self) -> None:
        """Make alerts of what was recorded, in order; what is left of an earlier run first."""
        started, trouble = False, Trouble(LOG, "alerts wait: they cannot be made now")
        while True:
            news = self._news
            try:
                if not started:
                    await self._alerts.start()
                    started = True
                while self._flagged:
                    await self._alerts.offer(self._flagged[0])
                    self._flagged.popleft()
                offered = await self._offer()
            except Exception as error:  # noqa: BLE001 - whatever it is, alerts are not given up
                if isinstance(error, TooLong) or not isinstance(error, StoreError):  # else told
                    trouble.shows(error)
                self._metrics.unoffered.set(1)
                await asyncio.sleep(OFFER_PAUSE_S)
                continue
            trouble.over()
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


def _flagged(batches: Sequence[Recorded]) -> list[Recorded]:
    """Those with verdicts over the threshold that were somebody's answer."""
    return [batch for batch in batches if batch.alerts and not batch.shadow]


def _spool(args: RecorderArgs) -> Spool | None:
    if args.store_dir is None:
        return None
    folder = Path(args.store_dir) / SPOOL_NAME
    try:
        return Spool(folder, args.most_spool_bytes, forced=args.durable)
    except StoreError as error:
        LOG.error("%s. Verdicts cannot wait on the disk", error)
        return None
