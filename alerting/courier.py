"""``Courier``: carries one channel's messages from the log to its notifier.

Each channel has a courier and a task of its own, so none waits for another. What there is to send
stands in the log, before and after; the courier holds one message at a time.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from alerting.alert import Alert
from alerting.clock import Clock
from alerting.deliveries import digest_of
from alerting.log import Delivery, FullLog
from alerting.message import (
    FIRST_EVENTS,
    LAST_EVENTS,
    Message,
    Told,
    alert_message,
    digest_message,
)
from alerting.notifiers.attempt import attempt
from alerting.notifiers.base import Notifier, Rejected, Retryable
from alerting.observing import Observe, unobserved
from alerting.rules import Retry
from alerting.stages.retry import Retries, asked_s

LOG = logging.getLogger("ztad.alerting")


@dataclass(slots=True)
class ChannelCounts:
    """What a courier did since it started."""

    sent: int = 0
    failed: int = 0
    retried: int = 0
    problem: str = field(default="")
    """Why the last attempt did not get through; empty if it did."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every courier shares."""

    log: FullLog
    clock: Clock
    retry: Retry
    link: str = ""
    observe: Observe = unobserved
    random: Callable[[], float] = random.random


class Courier:
    """Sends what is due on one channel, the most severe first, and records every outcome.

    A message is marked ``sending`` before the attempt and its outcome recorded after it: if the
    process dies in between, exactly that message is sent again. While attempts fail, messages wait
    for their own next time, and no two attempts come within ``retry.first``.
    """

    def __init__(self, channel: str, notifier: Notifier, around: Surroundings) -> None:
        self.channel = channel
        self.counts = ChannelCounts()
        self._notifier = notifier
        self._around = around
        self._retries = Retries(around.retry, around.random)
        self._rests_until_s = 0.0

    async def deliver(self) -> float | None:
        """Send what is due; when the next message is, None if there is none."""
        log, clock = self._around.log, self._around.clock
        await self._close_digest()
        while clock.now() >= self._rests_until_s:
            delivery = await log.waiting(self.channel, clock.now())
            if delivery is None:
                break
            await self._attempt(delivery)
        due_s = await log.next_due(self.channel)
        return None if due_s is None else max(due_s, self._rests_until_s)

    async def close(self) -> None:
        await self._notifier.close()

    async def _attempt(self, delivery: Delivery) -> None:
        log, clock = self._around.log, self._around.clock
        delivery = replace(delivery, state="sending", attempts=delivery.attempts + 1)
        await log.put(delivery)
        why: Retryable | Rejected | None = None
        try:
            with self._around.observe("ztad.alert.notify", delivery.traceparent) as note:
                note(channel=self.channel, attempt=delivery.attempts, message=delivery.delivery_id)
                await self._send(delivery)
        except (Retryable, Rejected) as refused:
            why = refused
        now_s = clock.now()
        if why is None:
            self._rests_until_s = 0.0
            self.counts.sent += 1
            self.counts.problem = ""
            await log.put(replace(delivery, state="sent", finished_s=now_s, problem=""))
            return
        await self._failed(self._retries(delivery, why, now_s), why, now_s)

    async def _failed(self, after: Delivery, why: Retryable | Rejected, now_s: float) -> None:
        self.counts.problem = after.problem
        if after.state == "failed":
            self.counts.failed += 1
            LOG.error("channel %s: message %s failed: %s", self.channel, after.delivery_id,
                      after.problem)  # fmt: skip
        else:
            self.counts.retried += 1
            LOG.warning("channel %s: message %s waits: %s", self.channel, after.delivery_id,
                        after.problem)  # fmt: skip
        if isinstance(why, Retryable):
            self._rests_until_s = now_s + max(self._around.retry.first, asked_s(why))
        await self._around.log.put(after)

    async def _send(self, delivery: Delivery) -> None:
        """Returns once the channel has taken the message; raises nothing but why it has not."""
        message = await self._message(delivery)
        if message is None:
            raise Rejected("its alerts are not kept any more")
        await attempt(self._notifier, message)

    async def _message(self, delivery: Delivery) -> Message | None:
        log, link = self._around.log, self._around.link
        found = [await log.alert(alert_id) for alert_id in delivery.alert_ids]
        alerts = [alert for alert in found if alert is not None]
        if not alerts:
            return None
        if delivery.kind == "digest":
            return digest_message(delivery.delivery_id, alerts, link=link)
        told, update = await self._told(alerts[0]), await self._told_before(alerts[0])
        return alert_message(delivery.delivery_id, told, update=update, link=link)

    async def _told(self, alert: Alert) -> Told:
        chain = await self._around.log.chain(alert.alert_id, first=FIRST_EVENTS, last=LAST_EVENTS)
        return Told(alert, tuple(chain), max(0, alert.events - len(chain)))

    async def _told_before(self, alert: Alert) -> bool:
        """Whether this channel took a message of the alert, a digest or one of its own."""
        made = await self._around.log.deliveries(alert.alert_id)
        return any(each.channel == self.channel and each.state == "sent" for each in made)

    async def _close_digest(self) -> None:
        """Once the first of what is held is due, everything held becomes one message."""
        log, now_s = self._around.log, self._around.clock.now()
        held = await log.held(self.channel)
        if not held or min(each.due_s for each in held) > now_s:
            return
        await log.digest(digest_of(held, now_s))
