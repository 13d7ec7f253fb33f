"""Rate limit and digest: what goes out at once, and what waits to be summarised. Nothing is lost,
and ``critical`` never waits."""

from __future__ import annotations

from dataclasses import replace

from alerting.alert import Alert, rank
from alerting.deliveries import next_digest, telling
from alerting.log import DeliveryLog
from alerting.notifiers.base import ChannelSettings
from alerting.rules import Rules
from alerting.stages.base import Notice


class RateLimit:
    """Makes one delivery per channel: to be sent now, or held for the channel's next summary."""

    def __init__(self, log: DeliveryLog, rules: Rules) -> None:
        self._log = log
        self._rules = rules

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        made = []
        for channel in notice.channels:
            due_s = await self._held_until(channel, notice.alert, now_s)
            made.append(telling(notice.alert, channel, now_s, held_until_s=due_s))
        return replace(notice, deliveries=tuple(made))

    async def _held_until(self, channel: str, alert: Alert, now_s: float) -> float | None:
        settings: ChannelSettings = self._rules.channels[channel]
        if alert.severity == "critical":
            return None
        if settings.digest is not None and rank(alert.severity) < rank(settings.digest.below):
            return next_digest(settings.digest, now_s)
        rate = settings.rate
        recent = await self._log.sent_since(channel, now_s - rate.per)
        return recent[-rate.most] + rate.per if len(recent) >= rate.most else None
