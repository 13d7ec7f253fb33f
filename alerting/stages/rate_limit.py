"""Rate limit and digest: what goes out at once, and what waits to be summarised. Nothing is lost,
and ``critical`` never waits."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from alerting.alert import Alert, rank
from alerting.log import Delivery, DeliveryLog
from alerting.notifiers.base import ChannelSettings, Digest
from alerting.rules import Rules
from alerting.stages.base import Notice

_DAY_S = 86400.0


class RateLimit:
    """Makes one delivery per channel: to be sent now, or held for the channel's next summary."""

    def __init__(self, log: DeliveryLog, rules: Rules) -> None:
        self._log = log
        self._rules = rules

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        made = []
        for channel in notice.channels:
            due_s = await self._held_until(channel, notice.alert, now_s)
            made.append(delivery_of(notice.alert, channel, now_s, held_until_s=due_s))
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


def delivery_of(
    alert: Alert, channel: str, now_s: float, *, held_until_s: float | None
) -> Delivery:
    """One telling of an alert over a channel; the same telling always has the same id."""
    telling = f"{alert.alert_id}\0{alert.revision + 1}\0{channel}"
    return Delivery(
        delivery_id=hashlib.sha256(telling.encode()).hexdigest()[:32],
        channel=channel,
        kind="alert",
        alert_ids=(alert.alert_id,),
        severity=alert.severity,
        created_s=now_s,
        due_s=now_s if held_until_s is None else held_until_s,
        state="waiting" if held_until_s is None else "held",
        traceparent=alert.traceparent,
    )


def next_digest(digest: Digest, now_s: float) -> float:
    """When the next digest is due, on a fixed grid of time.

    >>> next_digest(Digest(below="high", at="08:00"), 9 * 3600.0) / 3600
    32.0
    """
    if digest.every is not None:
        return (now_s // digest.every + 1.0) * digest.every
    at_s = (digest.at or 0) * 60.0
    return ((now_s - at_s) // _DAY_S + 1.0) * _DAY_S + at_s
