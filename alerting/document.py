"""Alerts as JSON documents: what webhooks carry and ``GET /v1/alerts`` answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alerting.alert import Alert, Occurrence
from alerting.log import Delivery
from alerting.message import Message, Told


def alert_document(alert: Alert) -> dict[str, Any]:
    """An alert without its chain. Times are RFC 3339 in UTC."""
    return {
        "alert_id": alert.alert_id,
        "subject": alert.subject,
        "severity": alert.severity,
        "event_severity": alert.event_severity,
        "status": alert.status,
        "events": alert.events,
        "successes": alert.successes,
        "first_at": instant(alert.first_at_s),
        "last_at": instant(alert.last_at_s),
        "opened_at": instant(alert.opened_s),
        "updated_at": instant(alert.updated_s),
        "told_at": instant(alert.told_s),
        "held": alert.held,
        "users": list(alert.users),
        "addresses": list(alert.addresses),
        "reasons": alert.reasons,
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at": instant(alert.acknowledged_s),
        "note": alert.note,
        "lead": occurrence_document(alert.lead),
    }


def occurrence_document(occurrence: Occurrence) -> dict[str, Any]:
    """One event of a chain: when, its severity, its verdict, and the event if it is known."""
    return {
        "at": instant(occurrence.at_s),
        "severity": occurrence.severity,
        "verdict": occurrence.verdict,
        "event": occurrence.event,
    }


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """What became of telling an alert over one channel."""
    return {
        "delivery_id": delivery.delivery_id,
        "channel": delivery.channel,
        "kind": delivery.kind,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": instant(delivery.created_s),
        "due_at": instant(delivery.due_s) if delivery.state in ("held", "waiting") else None,
        "finished_at": instant(delivery.finished_s),
        "problem": delivery.problem,
    }


def message_document(message: Message) -> dict[str, Any]:
    """The body of a webhook: one alert with its chain, or the alerts of a digest."""
    return {
        "id": message.delivery_id,
        "type": f"ztad.{message.kind}",
        "severity": message.severity,
        "total": message.total,
        "severities": dict(message.severities),
        "update": message.update,
        "link": message.link,
        "alerts": [_told_document(told) for told in message.told],
    }


def chain_document(chain: Sequence[Occurrence]) -> list[dict[str, Any]]:
    """Events in order."""
    return [occurrence_document(occurrence) for occurrence in chain]


def instant(at_s: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond.

    >>> instant(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    if at_s is None:
        return None
    told = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def _told_document(told: Told) -> dict[str, Any]:
    document = alert_document(told.alert)
    return {**document, "chain": chain_document(told.chain), "omitted": told.omitted}
