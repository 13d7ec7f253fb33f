"""The alert pipeline: what a suspicious verdict passes until messages stand in the log.

::

    verdicts ─► admit ─► dedup ─► group ──► alerts in the log
    alerts with news ─► silence ─► inhibit ─► window ─► route ─► rate limit ─► record
    messages in the log ─► courier of each channel ─► notifier, else retry

The first line runs when verdicts are offered, the second when an alert had time to gather its
events, the third as channels allow. Nothing is held in memory between them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from alerting.alert import Alert, Occurrence
from alerting.clock import Clock
from alerting.conditions import Matcher
from alerting.courier import Courier, Surroundings
from alerting.log import FullLog
from alerting.notifiers.base import Notifier
from alerting.observing import Observe, unobserved
from alerting.rules import Rules
from alerting.stages.admit import Admit
from alerting.stages.base import Notice, Stage
from alerting.stages.dedup import Dedup
from alerting.stages.group import Group
from alerting.stages.inhibit import Inhibit
from alerting.stages.rate_limit import RateLimit
from alerting.stages.record import Record
from alerting.stages.route import Routed
from alerting.stages.silence import Silenced
from alerting.stages.window import Window
from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent

#: Alerts considered for telling between two looks at the clock.
MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of events beside their verdicts, by event id, where it is known."""

    events: Mapping[str, AuthEvent] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    """When an event of which only the verdict is known happened, seconds since the epoch."""
    traces: Mapping[str, str] = field(default_factory=dict)
    """W3C ``traceparent`` of the request that brought the event."""


NOTHING_KNOWN = Known()


class UnknownAlert(LookupError):
    """No alert has that id, or it is not kept any more."""

    def __init__(self, alert_id: str) -> None:
        super().__init__(f"no alert {alert_id[:64]!r}")


@dataclass(slots=True)
class Counts:
    """What a pipeline did; outlives a change of rules."""

    opened: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Alerts by severity and main reason, as they were opened."""
    events: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Events that raised no alert, by the rule that said so."""
    held: Counter[str] = field(default_factory=Counter)
    """Considerations that ended in not telling: silenced, inhibited, suppressed, unrouted."""


class Pipeline:
    """One version of the rules at work. Change of rules: build another over the same log."""

    def __init__(
        self,
        intake: tuple[Admit, Dedup, Group],
        stages: Sequence[Stage],
        record: Record,
        couriers: Mapping[str, Courier],
        around: Surroundings,
        counts: Counts,
        lock: asyncio.Lock,
    ) -> None:
        self.couriers = couriers
        self._admit, self._dedup, self._group = intake
        self._stages = stages
        self._record = record
        self._around = around
        self._counts = counts
        self._lock = lock

    async def offer(
        self,
        verdicts: Sequence[Verdict],
        known: Known = NOTHING_KNOWN,
    ) -> int:
        """Make alerts of the suspicious among these verdicts; how many alerts were touched.

        Returns once the alerts are in the log; whether any channel works makes no difference. An
        event that was offered before changes nothing.
        """
        now_s = self._around.clock.now()
        occurrences = self._occurrences(verdicts, known, now_s)
        if not occurrences:
            return 0
        with self._around.observe("ztad.alert.group", _trace(occurrences)) as note:
            async with self._lock:
                new = await self._dedup(occurrences)
                grouped = await self._group(new, now_s)
            note(events=len(new), alerts=len(grouped.alerts), opened=len(grouped.opened))
        self._counts.events += len(new)
        for alert in grouped.opened:
            code = alert.lead.main.code if alert.lead.main is not None else ""
            self._counts.opened[alert.severity, code] += 1
        return len(grouped.alerts)

    async def dispatch(self) -> float | None:
        """Consider alerts whose time has come; when the next one's does, None if there is none."""
        log, clock = self._around.log, self._around.clock
        while due := await log.due(clock.now(), MOST_AT_ONCE):
            for alert in due:
                await self._consider(alert.alert_id)
        return await log.next_notify()

    async def acknowledge(self, alert_id: str, *, by: str, note: str = "") -> Alert:
        """Somebody works on an alert: it is told again only when there is news. Idempotent.

        Raises :class:`UnknownAlert`.
        """
        async with self._lock:
            alert = await self._around.log.alert(alert_id)
            if alert is None:
                raise UnknownAlert(alert_id)
            now_s = self._around.clock.now() if alert.acknowledged_s is None else None
            acknowledged = replace(
                alert,
                acknowledged_by=by,
                acknowledged_s=alert.acknowledged_s if now_s is None else now_s,
                note=note or alert.note,
            )
            await self._around.log.save(acknowledged)
        return acknowledged

    def _occurrences(
        self,
        verdicts: Sequence[Verdict],
        known: Known,
        now_s: float,
    ) -> list[Occurrence]:
        admitted = []
        for verdict in verdicts:
            if not verdict.is_anomaly:
                continue
            kept = self._admit(_occurrence(verdict, known, now_s))
            if kept is not None:
                admitted.append(kept)
        return admitted

    async def _consider(self, alert_id: str) -> None:
        now_s = self._around.clock.now()
        async with self._lock:
            alert = await self._around.log.alert(alert_id)
            if alert is None or alert.notify_s is None:
                return
            with self._around.observe("ztad.alert.dispatch", alert.traceparent) as note:
                notice = Notice(alert)
                for stage in self._stages:
                    notice = await stage(notice, now_s)
                    if notice.held:
                        self._counts.held[notice.held.partition(":")[0]] += 1
                        break
                note(alert=alert_id, severity=alert.severity, messages=len(notice.deliveries),
                     held=notice.held)  # fmt: skip
                await self._record(notice, now_s)


def build(
    rules: Rules,
    notifiers: Mapping[str, Notifier],
    log: FullLog,
    clock: Clock,
    observe: Observe = unobserved,
    *,
    random: Callable[[], float] = random.random,
    counts: Counts | None = None,
    lock: asyncio.Lock | None = None,
) -> Pipeline:
    """The pipeline of these rules; ``notifiers`` has one for every channel.

    ``counts`` and ``lock`` are those of the pipeline it replaces, if there was one.
    """
    counts = counts if counts is not None else Counts()
    matcher = Matcher(rules.groups, rules.times)
    around = Surroundings(log, clock, rules.retry, rules.link or "", observe, random)
    stages: list[Stage] = [
        Silenced(log, matcher),
        *([Inhibit(log, rules.grouping)] if rules.inhibit else []),
        Window(log, rules),
        Routed(rules, matcher),
        RateLimit(log, rules),
    ]
    return Pipeline(
        (Admit(rules, matcher, counts.dropped), Dedup(log), Group(rules.grouping, log)),
        stages,
        Record(log),
        {name: Courier(name, notifiers[name], around) for name in rules.channels},
        around,
        counts,
        lock or asyncio.Lock(),
    )


def _occurrence(verdict: Verdict, known: Known, now_s: float) -> Occurrence:
    event = known.events.get(verdict.event_id)
    told_s = known.times.get(verdict.event_id, now_s)
    return Occurrence(
        verdict=verdict,
        at_s=event.timestamp.timestamp() if event is not None else told_s,
        severity=verdict.severity,
        event=event,
        traceparent=known.traces.get(verdict.event_id, ""),
    )


def _trace(occurrences: Sequence[Occurrence]) -> str:
    """The first trace that is recorded (its sampled flag is set), else the first there is."""
    traces = [each.traceparent for each in occurrences if each.traceparent]
    return next((trace for trace in traces if trace.endswith("1")), traces[0] if traces else "")
