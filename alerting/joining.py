"""How an alert changes when an event joins it, and when that is worth telling."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from alerting.alert import (
    Alert,
    Occurrence,
    degrees,
    fingerprint,
    growth,
    listed,
    raised,
    rank,
    worst,
)
from alerting.rules import Grouping


def opened(
    id_: str, subject: str, occurrence: Occurrence, grouping: Grouping, now_s: float
) -> Alert:
    """The alert that an event opens; it is told once it had time to gather what belongs to it."""
    code = occurrence.main.code if occurrence.main is not None else ""
    print_ = fingerprint(subject, occurrence.verdict)
    return Alert(
        alert_id=id_,
        subject=subject,
        severity=occurrence.severity,
        event_severity=occurrence.severity,
        lead=occurrence,
        reasons={code: 1},
        fingerprints=(print_,),
        users=(occurrence.verdict.user_id,),
        addresses=listed((), occurrence.address),
        first_at_s=occurrence.at_s,
        last_at_s=occurrence.at_s,
        opened_s=now_s,
        updated_s=now_s,
        events=1,
        successes=int(occurrence.succeeded is True),
        fresh=(print_,),
        notify_s=now_s + grouping.wait_s(occurrence.severity),
        traceparent=occurrence.traceparent,
    )


def involving(alert: Alert, others: Sequence[Alert]) -> Alert:
    """The alert, naming the users and addresses of others that it belongs together with."""
    users, addresses = alert.users, alert.addresses
    for other in others:
        for user in other.users:
            users = listed(users, user)
        for address in other.addresses:
            addresses = listed(addresses, address)
    return replace(alert, users=users, addresses=addresses)


def joined(alert: Alert, occurrence: Occurrence, grouping: Grouping, now_s: float) -> Alert:
    """The alert with one more event.

    News is a fingerprint that the alert did not have, or a higher severity. It reopens an
    acknowledged alert. What was held back earlier gets another chance with every event.
    """
    users = listed(alert.users, occurrence.verdict.user_id)
    print_ = fingerprint(alert.subject, occurrence.verdict)
    sizes = growth(alert.subject, users=len(users), events=alert.events + 1)
    prints = tuple(dict.fromkeys((*alert.fingerprints, print_, *sizes)))
    event_severity = worst((alert.event_severity, occurrence.severity))
    more = degrees(alert.subject, fingerprints=len(prints), users=len(users))
    severity = raised(event_severity, more if grouping.escalate else 0)
    rises = rank(severity) > rank(alert.severity)
    added = [each for each in prints if each not in alert.fingerprints]
    news = bool(added) or rises
    fresh = tuple(dict.fromkeys((*alert.fresh, *added, *((print_,) if rises else ()))))
    code = occurrence.main.code if occurrence.main is not None else ""
    higher = occurrence.verdict.score > alert.lead.verdict.score
    changed = replace(
        alert,
        severity=severity,
        event_severity=event_severity,
        lead=occurrence if higher else alert.lead,
        reasons={**alert.reasons, code: alert.reasons.get(code, 0) + 1},
        fingerprints=prints,
        users=users,
        addresses=listed(alert.addresses, occurrence.address),
        first_at_s=min(alert.first_at_s, occurrence.at_s),
        last_at_s=max(alert.last_at_s, occurrence.at_s),
        updated_s=now_s,
        events=alert.events + 1,
        successes=alert.successes + int(occurrence.succeeded is True),
        fresh=fresh,
        acknowledged_s=None if news else alert.acknowledged_s,
        acknowledged_by="" if news else alert.acknowledged_by,
        traceparent=alert.traceparent or occurrence.traceparent,
    )
    return replace(changed, notify_s=_notify_s(changed, grouping, now_s))


def _notify_s(alert: Alert, grouping: Grouping, now_s: float) -> float | None:
    """When to tell what is fresh; an earlier time that was set already stays."""
    if not alert.fresh:
        return alert.notify_s
    at_s = now_s + grouping.wait_s(alert.severity)
    if alert.told_s is not None and alert.severity != "critical":
        at_s = max(at_s, alert.told_s + grouping.interval)
    return at_s if alert.notify_s is None else min(at_s, alert.notify_s)
