"""How deliveries are made: one telling of an alert, or a digest; the same one has the same id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from alerting.alert import Alert, worst
from alerting.log import Delivery
from alerting.notifiers.base import Digest

_DAY_S = 86400.0


def telling(alert: Alert, channel: str, now_s: float, *, held_until_s: float | None) -> Delivery:
    """The next telling of an alert over a channel: to be sent now, or held for a digest."""
    return Delivery(
        delivery_id=_id(alert.alert_id, str(alert.revision + 1), channel),
        channel=channel,
        kind="alert",
        alert_ids=(alert.alert_id,),
        severity=alert.severity,
        created_s=now_s,
        due_s=now_s if held_until_s is None else held_until_s,
        state="waiting" if held_until_s is None else "held",
        traceparent=alert.traceparent,
    )


def digest_of(held: Sequence[Delivery], now_s: float) -> Delivery:
    """One message in place of at least one that was held for the same channel."""
    return Delivery(
        delivery_id=_id(*(each.delivery_id for each in held)),
        channel=held[0].channel,
        kind="digest",
        alert_ids=tuple(dict.fromkeys(id_ for each in held for id_ in each.alert_ids)),
        severity=worst(each.severity for each in held),
        created_s=now_s,
        due_s=now_s,
        traceparent=held[0].traceparent,
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


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
