"""``Runner``: the pipeline at work, in the background of whoever has verdicts to offer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from alerting.alert import Alert, Occurrence
from alerting.clock import Clock, SystemClock
from alerting.courier import ChannelCounts, Courier
from alerting.log import AlertQuery, Delivery, DeliveryState, FullLog, Silence
from alerting.notifiers.base import Notifier
from alerting.observing import Observe, unobserved
from alerting.pipeline import NOTHING_KNOWN, Counts, Known, Pipeline, UnknownAlert, build
from alerting.rules import Rules
from alerting.rules_file import RulesFile
from alerting.trouble import Trouble
from ensemble.verdict import Verdict

LOG = logging.getLogger("ztad.alerting")

#: How often the rules file is looked at, and old alerts are forgotten, seconds.
RELOAD_S = 5.0
PRUNE_S = 600.0
#: Pause after a log that cannot be read or written, seconds.
TROUBLE_S = 5.0
#: Most events shown of one alert.
MOST_SHOWN_EVENTS = 200


@dataclass(frozen=True, slots=True)
class State:
    """What happened since the start, and what waits now; for metrics."""

    opened: dict[tuple[str, str], int]
    """Alerts by severity and main reason."""
    events: int
    dropped: dict[str, int]
    """Events that raised no alert, by rule."""
    held: dict[str, int]
    """Considerations that ended in not telling, by why."""
    channels: dict[str, ChannelCounts]
    """What was sent, failed and retried since the start, by channel."""
    deliveries: dict[tuple[str, DeliveryState], int]
    """What stands in the log, by channel and state."""
    rules_problem: str
    """What is wrong with the rules file, empty if nothing is."""


@dataclass(slots=True)
class _Channel:
    """A courier, the task that runs it, and how it is woken and asked to stop."""

    courier: Courier
    task: asyncio.Task[None] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False


class Runner:
    """Takes verdicts, and delivers what they give rise to until it is closed.

    ``notifiers`` makes one for each channel of some rules. Not thread-safe; one event loop.
    """

    def __init__(
        self,
        rules_file: RulesFile,
        notifiers: Callable[[Rules], Mapping[str, Notifier]],
        log: FullLog,
        clock: Clock | None = None,
        observe: Observe = unobserved,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._file = rules_file
        self._notifiers = notifiers
        self._log = log
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._observe = observe
        self._random = random
        self._counts = Counts()
        self._lock = asyncio.Lock()
        self._past: dict[str, ChannelCounts] = {}
        self._news = asyncio.Event()
        self._channels: dict[str, _Channel] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pipeline = self._build()

    async def offer(self, verdicts: Sequence[Verdict], known: Known = NOTHING_KNOWN) -> int:
        """Make alerts of the suspicious among these verdicts, see :meth:`Pipeline.offer`."""
        touched = await self._pipeline.offer(verdicts, known)
        if touched:
            self._news.set()
        return touched

    async def start(self) -> None:
        """Begin to deliver, first what an earlier run may have left unfinished."""
        await self._log.resume()
        self._start_channels()
        loop = asyncio.get_running_loop()
        steps = (self._dispatch_forever, self._reload_forever, self._prune_forever)
        self._tasks = [loop.create_task(step()) for step in steps]

    async def close(self) -> None:
        """Stop. A message whose attempt is under way will be sent again after the next start."""
        running = [channel.task for channel in self._channels.values()]
        tasks = [task for task in (*self._tasks, *running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for courier in self._pipeline.couriers.values():
            await courier.close()
        self._tasks, self._channels = [], {}

    async def alerts(self, query: AlertQuery) -> list[Alert]:
        """One page of alerts, newest first."""
        return await self._log.alerts(query)

    async def alert(self, alert_id: str) -> tuple[Alert, list[Occurrence], list[Delivery]]:
        """An alert, its events and what was sent of it; raises :class:`UnknownAlert`."""
        alert = await self._log.alert(alert_id)
        if alert is None:
            raise UnknownAlert(alert_id)
        chain = await self._log.chain(alert_id, first=MOST_SHOWN_EVENTS // 2,
                                      last=MOST_SHOWN_EVENTS // 2)  # fmt: skip
        return alert, chain, await self._log.deliveries(alert_id)

    async def acknowledge(self, alert_id: str, *, by: str, note: str = "") -> Alert:
        """Somebody works on an alert; raises :class:`UnknownAlert`."""
        return await self._pipeline.acknowledge(alert_id, by=by, note=note)

    async def silences(self) -> list[Silence]:
        """Silences that are not over."""
        return await self._log.silences(self._clock.now())

    async def silence(self, silence: Silence) -> None:
        """Hold alerts that match, for a while; in place of one of the same id."""
        await self._log.silence(silence)

    async def state(self) -> State:
        """Counts for metrics."""
        counts = self._counts
        channels = {**self._past} | {
            name: each.courier.counts for name, each in self._channels.items()
        }
        return State(
            opened=dict(counts.opened),
            events=counts.events,
            dropped=dict(counts.dropped),
            held=dict(counts.held),
            channels=channels,
            deliveries=await self._log.counts(),
            rules_problem=self._file.problem,
        )

    def reload(self) -> bool:
        """Take the rules file as it is now; True if it has changed and can be used."""
        if not self._file.poll():
            return False
        self._pipeline = self._build()
        self._start_channels()
        self._news.set()
        return True

    def _build(self) -> Pipeline:
        rules = self._file.rules
        return build(
            rules,
            self._notifiers(rules),
            self._log,
            self._clock,
            self._observe,
            random=self._random,
            counts=self._counts,
            lock=self._lock,
        )

    def _start_channels(self) -> None:
        """A task for every channel; one that replaces another begins once that has finished its
        attempt, so that no message is sent by both."""
        before, self._channels = self._channels, {}
        self._tasks = [task for task in self._tasks if not task.done()]
        for channel in before.values():
            channel.stopping = True
            channel.wake.set()
            if channel.task is not None:
                self._tasks.append(channel.task)
        loop = asyncio.get_running_loop()
        for name, courier in self._pipeline.couriers.items():
            old = before.get(name)
            if old is not None:
                courier.counts = old.courier.counts
            self._channels[name] = channel = _Channel(courier)
            channel.task = loop.create_task(self._carry(channel, old))
        for name in before.keys() - self._channels.keys():
            self._past[name] = before[name].courier.counts
            self._tasks.append(loop.create_task(self._retire(before[name])))

    async def _carry(self, channel: _Channel, old: _Channel | None) -> None:
        if old is not None:
            await self._retire(old)
        trouble = _trouble()
        while not channel.stopping:
            channel.wake.clear()
            next_s = await self._undisturbed(channel.courier.deliver, trouble)
            if not channel.stopping:
                await self._pause(next_s, channel.wake)

    async def _retire(self, channel: _Channel) -> None:
        """Let a channel finish its attempt, then let go of its connections."""
        try:
            if channel.task is not None:
                await asyncio.wait([channel.task])
        finally:
            await channel.courier.close()

    async def _dispatch_forever(self) -> None:
        trouble = _trouble()
        while True:
            self._news.clear()
            next_s = await self._undisturbed(self._pipeline.dispatch, trouble)
            for channel in self._channels.values():
                channel.wake.set()
            await self._pause(next_s, self._news)

    async def _reload_forever(self) -> None:
        while True:
            await self._clock.sleep(RELOAD_S)
            try:
                self.reload()
            except Exception:  # the rules before stay in effect
                LOG.exception("alert rules cannot be taken")

    async def _prune_forever(self) -> None:
        trouble = _trouble()
        while True:
            await self._undisturbed(self._prune, trouble)
            await self._clock.sleep(PRUNE_S)

    async def _prune(self) -> None:
        rules, now_s = self._file.rules, self._clock.now()
        await self._log.expire(
            rules.channels.keys(),
            before_s=now_s - rules.retry.give_up,
            now_s=now_s,
            problem="the channel is no longer in the rules",
        )
        await self._log.prune(now_s - rules.keep)

    async def _undisturbed(
        self, step: Callable[[], Awaitable[float | None]], trouble: Trouble
    ) -> float | None:
        """One step; a log in trouble is reported, and tried again a little later."""
        try:
            next_s = await step()
        except Exception as error:  # noqa: BLE001 - whatever it is, alerts are not given up
            trouble.shows(error)
            return self._clock.now() + TROUBLE_S
        trouble.over()
        return next_s

    async def _pause(self, until_s: float | None, wake: asyncio.Event) -> None:
        """Until a time, or until woken."""
        loop = asyncio.get_running_loop()
        waits: list[asyncio.Task[object]] = [loop.create_task(wake.wait())]
        if until_s is not None:
            waits.append(loop.create_task(self._clock.sleep(until_s - self._clock.now())))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _trouble() -> Trouble:
    return Trouble(LOG, "alerts wait: the log cannot be read or written")
