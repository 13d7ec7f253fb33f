"""Verdicts, events, alerts and pipelines for tests of alerting: short to write, easy to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alerting.alert import Alert, Occurrence
from alerting.clock import ManualClock
from alerting.joining import opened
from alerting.log import FullLog
from alerting.memory_log import MemoryLog
from alerting.message import Message, Told, alert_message
from alerting.notifiers.memory import MemoryNotifier
from alerting.pipeline import Known, Pipeline, build
from alerting.rules import Grouping, Rules, load
from alerting.secret import Secrets
from ensemble.verdict import Reason, Severity, Verdict
from preprocessing.event import AuthEvent

#: 2026-11-22 08:00:00 UTC, a Sunday.
NOW_S = 1_795_334_400.0
ADDRESS = "203.0.113.9"


def verdict(
    event_id: str,
    user: str = "ann",
    *,
    code: str = "impossible_travel",
    severity: Severity = "high",
    score: float = 0.999,
    **more: Any,
) -> Verdict:
    """A flagged verdict with one reason."""
    reason = Reason(code, f"{code} told", "Singapore", "Berlin (212 of 212)", "T1078", 0.8)
    return Verdict(
        event_id=event_id, user_id=user, score=score, is_anomaly=True, threshold=0.997,
        severity=severity, reasons=(reason,), detectors={"one": score}, variant="champion",
        model_version="2026-11-22.1", **more,
    )  # fmt: skip


def event(
    event_id: str, user: str = "ann", *, at_s: float = NOW_S, ip: str | None = ADDRESS, **more: Any
) -> AuthEvent:
    """The event behind a verdict: a success unless it says otherwise."""
    given: dict[str, Any] = {"outcome": "success", "country": "SG", "city": "Singapore"} | more
    return AuthEvent(
        timestamp=datetime.fromtimestamp(at_s, UTC),
        user_id=user,
        event_id=event_id,
        source_ip=ip,
        **given,
    )


def occurrence(
    event_id: str, user: str = "ann", *, at_s: float = NOW_S, trace: str = "", **more: Any
) -> Occurrence:
    """A verdict with its event."""
    of_event = {key: more.pop(key) for key in ("ip", "outcome", "resource", "city") if key in more}
    judged = verdict(event_id, user, **more)
    told = event(event_id, user, at_s=at_s, **of_event)
    return Occurrence(judged, at_s, judged.severity, told, trace)


def alert(event_id: str = "e1", user: str = "ann", *, now_s: float = NOW_S, **more: Any) -> Alert:
    """The alert that one event opens."""
    first = occurrence(event_id, user, **more)
    return opened(f"alert-{event_id}", f"user:{user}", first, Grouping(), now_s)


def message(user: str = "ann", *, delivery_id: str = "d1", link: str = "", **more: Any) -> Message:
    """A message about an alert of one event."""
    made = alert("e1", user, **more)
    return alert_message(delivery_id, Told(made, (made.lead,)), link=link)


def known(*events: AuthEvent, traces: dict[str, str] | None = None) -> Known:
    return Known(events={each.event_id: each for each in events}, traces=traces or {})


class Desk:
    """A pipeline over memory channels, with a clock that is moved by hand."""

    def __init__(self, yaml: str, log: FullLog | None = None, *, now_s: float = NOW_S) -> None:
        self.rules: Rules = load(yaml)
        self.clock = ManualClock(now_s)
        self.log: FullLog = log if log is not None else MemoryLog()
        self.notifiers = {
            name: MemoryNotifier(name, settings, Secrets({}))
            for name, settings in self.rules.channels.items()
        }
        self.pipeline: Pipeline = build(
            self.rules, self.notifiers, self.log, self.clock, random=lambda: 1.0
        )

    async def offer(self, *occurrences: Occurrence) -> int:
        events = [each.event for each in occurrences if each.event is not None]
        traces = {each.verdict.event_id: each.traceparent for each in occurrences}
        return await self.pipeline.offer(
            [each.verdict for each in occurrences], known(*events, traces=traces)
        )

    async def work(self) -> None:
        """Everything that is due now."""
        await self.pipeline.dispatch()
        for courier in self.pipeline.couriers.values():
            await courier.deliver()

    async def after(self, seconds: float, *, step_s: float = 1.0) -> None:
        """Let time pass in steps, doing what is due at each."""
        end_s = self.clock.now() + seconds
        while self.clock.now() < end_s:
            self.clock.advance(min(step_s, end_s - self.clock.now()))
            await self.work()

    def sent(self, channel: str = "soc") -> list[Message]:
        return self.notifiers[channel].sent

    def told(self, channel: str = "soc") -> list[str]:
        """The users, or addresses, of the messages sent, in order."""
        return [_name(each.told[0].alert) for each in self.sent(channel)]


def _name(alert: Alert) -> str:
    return alert.subject.partition(":")[2]


#: One channel that gets everything.
ONE = "channels: {soc: {type: memory, rate: {most: 1000}}}\notherwise: [soc]\n"


def ids(occurrences: Sequence[Occurrence]) -> list[str]:
    return [each.verdict.event_id for each in occurrences]
