"""How an alert changes when an event joins it, and when that is worth telling."""

from __future__ import annotations

from msgspec.structs import replace

from alerting.alert import Alert, Occurrence, fingerprint, listed, rank, worst
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


def joined(alert: Alert, occurrence: Occurrence, grouping: Grouping, now_s: float) -> Alert:
    """The alert with one more event.

    News is a fingerprint that the alert did not have, or a higher severity. It reopens an
    acknowledged alert. What was held back earlier gets another chance with every event.
    """
    print_ = fingerprint(alert.subject, occurrence.verdict)
    rises = rank(occurrence.severity) > rank(alert.severity)
    news = rises or print_ not in alert.fingerprints
    fresh = tuple(dict.fromkeys((*alert.fresh, print_))) if news else alert.fresh
    code = occurrence.main.code if occurrence.main is not None else ""
    higher = occurrence.verdict.score > alert.lead.verdict.score
    notify_s = _notify_s(alert, occurrence, grouping, now_s) if fresh else alert.notify_s
    return replace(
        alert,
        severity=worst((alert.severity, occurrence.severity)),
        lead=occurrence if higher else alert.lead,
        reasons={**alert.reasons, code: alert.reasons.get(code, 0) + 1},
        fingerprints=tuple(dict.fromkeys((*alert.fingerprints, print_))),
        users=listed(alert.users, occurrence.verdict.user_id),
        addresses=listed(alert.addresses, occurrence.address),
        first_at_s=min(alert.first_at_s, occurrence.at_s),
        last_at_s=max(alert.last_at_s, occurrence.at_s),
        updated_s=now_s,
        events=alert.events + 1,
        successes=alert.successes + int(occurrence.succeeded is True),
        fresh=fresh,
        notify_s=notify_s,
        acknowledged_s=None if news else alert.acknowledged_s,
        acknowledged_by="" if news else alert.acknowledged_by,
        traceparent=alert.traceparent or occurrence.traceparent,
    )


def _notify_s(alert: Alert, occurrence: Occurrence, grouping: Grouping, now_s: float) -> float:
    """When to tell; an earlier time that was set already stays."""
    at_s = now_s + grouping.wait_s(occurrence.severity)
    if alert.told_s is not None and occurrence.severity != "critical":
        at_s = max(at_s, alert.told_s + grouping.interval)
    return at_s if alert.notify_s is None else min(at_s, alert.notify_s)
