"""The alert log's tables: what is written and asked, for every SQL database (``talks``).

Alerts, events and deliveries are kept as JSON beside the columns they are found by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from alerting.alert import Alert, Occurrence, rank
from alerting.log import FIRST_KEPT, LAST_KEPT, AlertQuery, Delivery, News, Silence
from services.storage.talks import EACH, Row, Talk, ask, keep

encode = msgspec.json.Encoder().encode
ALERT = msgspec.json.Decoder(Alert)
OCCURRENCE = msgspec.json.Decoder(Occurrence)
DELIVERY = msgspec.json.Decoder(Delivery)
SILENCE = msgspec.json.Decoder(Silence)

_UNSENT = "('held', 'waiting', 'sending')"
_OF_ALERTS = (
    "alerts", "alert_users", "alert_addresses", "alert_reasons", "alert_events", "delivery_alerts",
)  # fmt: skip
_ALERTS = "alert_id subject severity status opened_s updated_s notify_s body"
_DELIVERIES = "delivery_id channel kind state severity attempts created_s due_s body"


def save(alert: Alert) -> Talk[None]:
    """An alert, and what it is found by."""
    row = (alert.alert_id, alert.subject, rank(alert.severity), alert.status, alert.opened_s,
           alert.updated_s, alert.notify_s, encode(alert))  # fmt: skip
    yield from keep("alerts", _ALERTS, row)
    for table, names in (
        ("alert_users", alert.users),
        ("alert_addresses", alert.addresses),
        ("alert_reasons", alert.reasons),
    ):
        yield from _name(table, [(name, alert.alert_id) for name in names])


def join(alerts: Sequence[Alert], occurrences: Sequence[tuple[str, Occurrence]]) -> Talk[None]:
    """Alerts, and events at the ends of their chains."""
    for alert in alerts:
        yield from save(alert)
    for alert in alerts:
        mine = [each for alert_id, each in occurrences if alert_id == alert.alert_id]
        yield from _lengthen(alert.alert_id, mine)


def tell(alert: Alert, deliveries: Sequence[Delivery], news: Mapping[str, News]) -> Talk[None]:
    """An alert that was considered for telling, and what is to be sent of it."""
    yield from save(alert)
    rows = [(print_, each.at_s, each.severity) for print_, each in news.items()]
    yield from keep("news", "fingerprint at_s severity", *rows)
    for delivery in deliveries:
        yield from _replace(alert.alert_id, delivery)


def silence(one: Silence) -> Talk[None]:
    """Add or replace a silence."""
    row = (one.silence_id, one.until_s, encode(one))
    yield from keep("silences", "silence_id until_s body", row)


def prune(before_s: float) -> Talk[int]:
    """Forget what is older and of which nothing waits to be sent."""
    query = f"""SELECT alert_id FROM alerts WHERE updated_s < ? AND notify_s IS NULL
                AND alert_id NOT IN (SELECT alert_id FROM delivery_alerts JOIN deliveries
                                     USING (delivery_id) WHERE state IN {_UNSENT})"""
    old = yield from ask(query, before_s)
    for table in _OF_ALERTS:
        yield f"DELETE FROM {table} WHERE alert_id = ?", old
    if old:
        yield from ask(
            """DELETE FROM deliveries
               WHERE delivery_id NOT IN (SELECT delivery_id FROM delivery_alerts)"""
        )
    yield from ask("DELETE FROM news WHERE at_s < ?", before_s)
    yield from ask("DELETE FROM silences WHERE until_s < ?", before_s)
    return len(old)


def put(delivery: Delivery) -> Talk[None]:
    """A delivery, and the alerts it tells of."""
    row = (delivery.delivery_id, delivery.channel, delivery.kind, delivery.state,
           rank(delivery.severity), delivery.attempts, delivery.created_s, delivery.due_s,
           encode(delivery))  # fmt: skip
    yield from keep("deliveries", _DELIVERIES, row)
    ids = [(alert_id, delivery.delivery_id) for alert_id in delivery.alert_ids]
    yield from _name("delivery_alerts", ids)


def resume() -> Talk[int]:
    """What was being sent waits again."""
    found = yield from deliveries("state = 'sending'")
    for delivery in found:
        yield from put(msgspec.structs.replace(delivery, state="waiting"))
    return len(found)


def digest(one: Delivery) -> Talk[None]:
    """A digest in place of what was held for its channel."""
    held = yield from deliveries("channel = ? AND state = 'held'", one.channel)
    yield from _drop(held)
    yield from put(one)


def expire(channels: Collection[str], before_s: float, now_s: float, problem: str) -> Talk[int]:
    """Fail what waits for channels other than these."""
    where = f"channel NOT IN ({EACH}) AND state IN ('held', 'waiting') AND created_s < ?"
    old = yield from deliveries(where, encode(sorted(channels)), before_s)
    for each in old:
        failed = msgspec.structs.replace(
            each, state="failed", finished_s=now_s, problem=each.problem or problem
        )
        yield from put(failed)
    return len(old)


def deliveries(where: str, *values: Any) -> Talk[list[Delivery]]:
    """Those for which a condition holds."""
    rows = yield from ask(f"SELECT body FROM deliveries WHERE {where}", *values)
    return [DELIVERY.decode(body) for (body,) in rows]


def asked(query: AlertQuery) -> tuple[str, list[Any]]:
    """A query as SQL; only its values come from outside."""
    least = None if query.severity_at_least is None else rank(query.severity_at_least)
    sent = "SELECT alert_id FROM delivery_alerts JOIN deliveries USING (delivery_id) WHERE"
    parts: list[tuple[str, Any]] = [
        ("severity >= ?", least),
        ("alert_id IN (SELECT alert_id FROM alert_users WHERE user_id = ?)", query.user),
        ("alert_id IN (SELECT alert_id FROM alert_addresses WHERE address = ?)", query.address),
        ("alert_id IN (SELECT alert_id FROM alert_reasons WHERE code = ?)", query.reason),
        ("status = ?", query.status),
        ("opened_s >= ?", query.since_s),
        ("opened_s < ?", query.until_s),
    ]
    given = [(sql, [value]) for sql, value in parts if value is not None]
    if query.after is not None:
        given.append(("(opened_s, alert_id) < (?, ?)", list(query.after)))
    if query.channel is not None or query.delivery is not None:
        asked = [("channel = ?", query.channel), ("state = ?", query.delivery)]
        some = [(sql, value) for sql, value in asked if value is not None]
        conditions = " AND ".join(sql for sql, _ in some)
        given.append((f"alert_id IN ({sent} {conditions})", [value for _, value in some]))
    where = " AND ".join(sql for sql, _ in given) or "TRUE"
    return where, [value for _, values in given for value in values]


def _name(table: str, pairs: list[Row]) -> Talk[None]:
    yield f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT DO NOTHING", pairs


def _lengthen(alert_id: str, added: list[Occurrence]) -> Talk[None]:
    """Add events; those in the middle of a flood keep their id alone."""
    query = "SELECT COALESCE(MAX(place) + 1, 0) FROM alert_events WHERE alert_id = ?"
    ((before,),) = yield from ask(query, alert_id)
    rows: list[Row] = [
        (each.verdict.event_id, alert_id, place, each.at_s, encode(each))
        for place, each in enumerate(added, start=before)
    ]
    yield "INSERT INTO alert_events VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows
    yield from ask(
        "UPDATE alert_events SET body = NULL WHERE alert_id = ? AND place >= ? AND place < ?",
        alert_id,
        max(FIRST_KEPT, before - LAST_KEPT),
        before + len(added) - LAST_KEPT,
    )


def _replace(alert_id: str, new: Delivery) -> Talk[None]:
    """Put a delivery in place of those that wait to tell the same alert over the same channel."""
    where = """channel = ? AND kind = 'alert' AND state IN ('held', 'waiting') AND delivery_id IN
               (SELECT delivery_id FROM delivery_alerts WHERE alert_id = ?)"""
    old = yield from deliveries(where, new.channel, alert_id)
    if new.state == "held" and any(each.state == "waiting" for each in old):
        return
    yield from _drop(old)
    yield from put(new)


def _drop(old: list[Delivery]) -> Talk[None]:
    ids: list[Row] = [(each.delivery_id,) for each in old]
    yield "DELETE FROM deliveries WHERE delivery_id = ?", ids
    yield "DELETE FROM delivery_alerts WHERE delivery_id = ?", ids
