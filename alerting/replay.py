"""What rules make of events that have happened: a fortnight in a second, and nobody is told.

Try rules on past verdicts before they are put in force: ``ztad alerts replay``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from alerting.alert import Alert
from alerting.clock import ManualClock
from alerting.log import AlertQuery
from alerting.memory_log import MemoryLog
from alerting.message import Message
from alerting.notifiers.base import ChannelSettings
from alerting.notifiers.memory import MemoryNotifier
from alerting.pipeline import Counts, Known, Pipeline, build
from alerting.rules import Rules
from alerting.secret import Secrets
from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent

#: What waits after the last event, such as a daily digest, is sent within this, seconds.
AFTERMATH_S = 2 * 86400.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that would have been sent, and when."""

    at_s: float
    channel: str
    message: Message


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of the events."""

    alerts: list[Alert]
    sent: list[Sent]
    alert_of: dict[str, str]
    """The alert of each event that joined one."""
    counts: Counts


@dataclass(slots=True)
class _World:
    """A pipeline whose clock and channels are ours."""

    clock: ManualClock
    log: MemoryLog
    sent: list[Sent]
    counts: Counts
    pipeline: Pipeline = field(init=False)

    async def until(self, at_s: float) -> None:
        """Let time pass, doing everything at the time it is due."""
        while True:
            times = [await self.pipeline.dispatch()]
            times += [await courier.deliver() for courier in self.pipeline.couriers.values()]
            due_s = min((time_s for time_s in times if time_s is not None), default=None)
            if due_s is None or due_s > at_s:
                break
            self.clock.advance(max(0.001, due_s - self.clock.now()))
        self.clock.advance(at_s - self.clock.now())


class _Told(MemoryNotifier):
    """Puts down when a message was sent, and where."""

    def __init__(self, name: str, settings: ChannelSettings, world: _World) -> None:
        super().__init__(name, settings, Secrets({}))
        self._world = world

    async def notify(self, message: Message) -> None:
        self._world.sent.append(Sent(self._world.clock.now(), self.name, message))


async def replay(rules: Rules, happened: Iterable[tuple[Verdict, AuthEvent]]) -> Replay:
    """Offer verdicts with their events in order of time, and collect what would have been sent."""
    flagged = sorted(
        ((verdict, event) for verdict, event in happened if verdict.is_anomaly),
        key=lambda pair: pair[1].timestamp,
    )
    start_s = flagged[0][1].timestamp.timestamp() if flagged else 0.0
    world = _World(ManualClock(start_s), MemoryLog(), [], Counts())
    notifiers = {name: _Told(name, each, world) for name, each in rules.channels.items()}
    world.pipeline = build(
        rules, notifiers, world.log, world.clock, random=lambda: 1.0, counts=world.counts
    )
    for verdict, event in flagged:
        await world.until(event.timestamp.timestamp())
        await world.pipeline.offer([verdict], Known(events={event.event_id: event}))
    await world.until(world.clock.now() + AFTERMATH_S)
    alerts = await world.log.alerts(AlertQuery(limit=max(1, len(flagged))))
    return Replay(alerts, world.sent, _alerts_of(world.log, flagged), world.counts)


def _alerts_of(log: MemoryLog, flagged: Sequence[tuple[Verdict, AuthEvent]]) -> dict[str, str]:
    found = {event.event_id: log.alert_of(event.event_id) for _, event in flagged}
    return {event_id: alert_id for event_id, alert_id in found.items() if alert_id is not None}
