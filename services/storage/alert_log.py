"""``SqliteAlertLog``: the alert log in a SQLite file of its own; follows ``alerting.log.FullLog``.

Alerts, events and deliveries are kept as JSON beside the columns they are found by.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from alerting.alert import Alert, Occurrence, rank
from alerting.log import (
    FIRST_KEPT,
    LAST_KEPT,
    AlertQuery,
    Delivery,
    DeliveryState,
    News,
    Silence,
)
from services.storage.migrations.chain import ALERTS
from services.storage.sqlite import Database

T = TypeVar("T")

_ENCODE = msgspec.json.Encoder().encode
_ALERT = msgspec.json.Decoder(Alert)
_OCCURRENCE = msgspec.json.Decoder(Occurrence)
_DELIVERY = msgspec.json.Decoder(Delivery)
_SILENCE = msgspec.json.Decoder(Silence)

_UNSENT = "('held', 'waiting', 'sending')"
_OF_ALERTS = (
    "alerts", "alert_users", "alert_addresses", "alert_reasons", "alert_events", "delivery_alerts",
)  # fmt: skip
_ANY_OF = "IN (SELECT value FROM json_each(?))"


class SqliteAlertLog:
    """Alerts that survive a restart, in one file; in memory when ``path`` is None.

    Raises ``services.storage.errors.StoreError``.
    """

    def __init__(self, path: Path | None) -> None:
        self._database = Database(path, ALERTS)

    def close(self) -> None:
        """Let go of the file; nothing may be called after it."""
        self._database.close()

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        query = f"SELECT event_id FROM alert_events WHERE event_id {_ANY_OF}"
        rows = await self._rows(query, _ENCODE(list(event_ids)))
        return {event_id for (event_id,) in rows}

    async def latest(self, subject: str) -> Alert | None:
        query = "SELECT body FROM alerts WHERE subject = ? ORDER BY opened_s DESC LIMIT 1"
        return _first([_ALERT.decode(body) for (body,) in await self._rows(query, subject)])

    async def join(
        self, alerts: Sequence[Alert], occurrences: Sequence[tuple[str, Occurrence]]
    ) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for alert in alerts:
                _put_alert(connection, alert)
            for alert in alerts:
                mine = [each for alert_id, each in occurrences if alert_id == alert.alert_id]
                _lengthen(connection, alert.alert_id, mine)

        await self._database.write(work)

    async def save(self, alert: Alert) -> None:
        await self._database.write(lambda connection: _put_alert(connection, alert))

    async def due(self, now_s: float, limit: int) -> list[Alert]:
        query = """SELECT body FROM alerts WHERE notify_s <= ?
                   ORDER BY severity DESC, notify_s, alert_id LIMIT ?"""
        return [_ALERT.decode(body) for (body,) in await self._rows(query, now_s, limit)]

    async def next_notify(self) -> float | None:
        query = "SELECT MIN(notify_s) FROM alerts WHERE notify_s IS NOT NULL"
        ((at_s,),) = await self._rows(query)
        return at_s  # type: ignore[no-any-return]

    async def news(self, fingerprints: Sequence[str]) -> dict[str, News]:
        query = f"SELECT fingerprint, at_s, severity FROM news WHERE fingerprint {_ANY_OF}"
        rows = await self._rows(query, _ENCODE(list(fingerprints)))
        return {print_: News(at_s, severity) for print_, at_s, severity in rows}

    async def told(
        self, alert: Alert, deliveries: Sequence[Delivery], news: Mapping[str, News]
    ) -> None:
        def work(connection: sqlite3.Connection) -> None:
            _put_alert(connection, alert)
            connection.executemany(
                "INSERT OR REPLACE INTO news VALUES (?, ?, ?)",
                [(print_, each.at_s, each.severity) for print_, each in news.items()],
            )
            for delivery in deliveries:
                _replace_delivery(connection, alert.alert_id, delivery)

        await self._database.write(work)

    async def alert(self, alert_id: str) -> Alert | None:
        rows = await self._rows("SELECT body FROM alerts WHERE alert_id = ?", alert_id)
        return _first([_ALERT.decode(body) for (body,) in rows])

    async def chain(self, alert_id: str, *, first: int, last: int) -> list[Occurrence]:
        query = """SELECT body FROM alert_events WHERE alert_id = ? AND body IS NOT NULL
                   ORDER BY at_s, event_id"""
        bodies = [body for (body,) in await self._rows(query, alert_id)]
        if len(bodies) > first + last:
            bodies = bodies[:first] + bodies[len(bodies) - last :]
        return [_OCCURRENCE.decode(body) for body in bodies]

    async def alerts(self, query: AlertQuery) -> list[Alert]:
        where, values = _asked(query)
        rows = await self._rows(
            f"SELECT body FROM alerts WHERE {where} ORDER BY opened_s DESC, alert_id DESC LIMIT ?",
            *values,
            query.limit,
        )
        return [_ALERT.decode(body) for (body,) in rows]

    async def silences(self, now_s: float) -> list[Silence]:
        rows = await self._rows("SELECT body FROM silences WHERE until_s > ?", now_s)
        return [_SILENCE.decode(body) for (body,) in rows]

    async def silence(self, silence: Silence) -> None:
        row = (silence.silence_id, silence.until_s, _ENCODE(silence))
        await self._database.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO silences VALUES (?, ?, ?)", row
            ).close()
        )

    async def prune(self, before_s: float) -> int:
        return await self._database.write(lambda connection: _prune(connection, before_s))

    async def resume(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            found = _decoded(connection, "state = 'sending'")
            for delivery in found:
                _put_delivery(connection, msgspec.structs.replace(delivery, state="waiting"))
            return len(found)

        return await self._database.write(work)

    async def waiting(self, channel: str, now_s: float) -> Delivery | None:
        where = """channel = ? AND state = 'waiting' AND due_s <= ?
                   ORDER BY attempts, severity DESC, created_s, delivery_id LIMIT 1"""
        return _first(await self._deliveries(where, channel, now_s))

    async def next_due(self, channel: str) -> float | None:
        query = """SELECT MIN(due_s) FROM deliveries
                   WHERE channel = ? AND state IN ('held', 'waiting')"""
        ((due_s,),) = await self._rows(query, channel)
        return due_s  # type: ignore[no-any-return]

    async def put(self, delivery: Delivery) -> None:
        await self._database.write(lambda connection: _put_delivery(connection, delivery))

    async def held(self, channel: str) -> list[Delivery]:
        where = "channel = ? AND state = 'held' ORDER BY created_s, delivery_id"
        return await self._deliveries(where, channel)

    async def digest(self, digest: Delivery) -> None:
        def work(connection: sqlite3.Connection) -> None:
            _drop(connection, _decoded(connection, "channel = ? AND state = 'held'",
                                       digest.channel))  # fmt: skip
            _put_delivery(connection, digest)

        await self._database.write(work)

    async def deliveries(self, alert_id: str) -> list[Delivery]:
        where = """delivery_id IN (SELECT delivery_id FROM delivery_alerts WHERE alert_id = ?)
                   ORDER BY created_s, delivery_id"""
        return await self._deliveries(where, alert_id)

    async def sent_since(self, channel: str, since_s: float) -> list[float]:
        query = """SELECT created_s FROM deliveries WHERE channel = ? AND created_s >= ?
                   AND kind = 'alert' AND state <> 'held' ORDER BY created_s"""
        return [at_s for (at_s,) in await self._rows(query, channel, since_s)]

    async def expire(
        self, channels: Collection[str], *, before_s: float, now_s: float, problem: str
    ) -> int:
        where = f"channel NOT {_ANY_OF} AND state IN ('held', 'waiting') AND created_s < ?"

        def work(connection: sqlite3.Connection) -> int:
            old = _decoded(connection, where, _ENCODE(sorted(channels)), before_s)
            for each in old:
                failed = msgspec.structs.replace(
                    each, state="failed", finished_s=now_s, problem=each.problem or problem
                )
                _put_delivery(connection, failed)
            return len(old)

        return await self._database.write(work)

    async def counts(self) -> dict[tuple[str, DeliveryState], int]:
        rows = await self._rows("SELECT channel, state, COUNT(*) FROM deliveries GROUP BY 1, 2")
        return {(channel, state): count for channel, state, count in rows}

    async def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return await self._database.read(
            lambda connection: connection.execute(query, values).fetchall()
        )

    async def _deliveries(self, where: str, *values: Any) -> list[Delivery]:
        return await self._database.read(lambda connection: _decoded(connection, where, *values))


def _put_alert(connection: sqlite3.Connection, alert: Alert) -> None:
    row = (alert.alert_id, alert.subject, rank(alert.severity), alert.status, alert.opened_s,
           alert.updated_s, alert.notify_s, _ENCODE(alert))  # fmt: skip
    connection.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    for table, names in (
        ("alert_users", alert.users),
        ("alert_addresses", alert.addresses),
        ("alert_reasons", alert.reasons),
    ):
        connection.executemany(
            f"INSERT OR IGNORE INTO {table} VALUES (?, ?)",
            [(name, alert.alert_id) for name in names],
        )


def _lengthen(connection: sqlite3.Connection, alert_id: str, added: list[Occurrence]) -> None:
    """Add events; those in the middle of a flood keep their id alone."""
    query = "SELECT COALESCE(MAX(place) + 1, 0) FROM alert_events WHERE alert_id = ?"
    (before,) = connection.execute(query, (alert_id,)).fetchone()
    rows = [
        (each.verdict.event_id, alert_id, place, each.at_s, _ENCODE(each))
        for place, each in enumerate(added, start=before)
    ]
    connection.executemany("INSERT OR IGNORE INTO alert_events VALUES (?, ?, ?, ?, ?)", rows)
    thinned = (alert_id, max(FIRST_KEPT, before - LAST_KEPT), before + len(added) - LAST_KEPT)
    connection.execute(
        "UPDATE alert_events SET body = NULL WHERE alert_id = ? AND place >= ? AND place < ?",
        thinned,
    )


def _put_delivery(connection: sqlite3.Connection, delivery: Delivery) -> None:
    row = (delivery.delivery_id, delivery.channel, delivery.kind, delivery.state,
           rank(delivery.severity), delivery.attempts, delivery.created_s, delivery.due_s,
           _ENCODE(delivery))  # fmt: skip
    connection.execute("INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.executemany(
        "INSERT OR IGNORE INTO delivery_alerts VALUES (?, ?)",
        [(alert_id, delivery.delivery_id) for alert_id in delivery.alert_ids],
    )


def _replace_delivery(connection: sqlite3.Connection, alert_id: str, new: Delivery) -> None:
    """Put a delivery in place of those that wait to tell the same alert over the same channel."""
    where = """channel = ? AND kind = 'alert' AND state IN ('held', 'waiting') AND delivery_id IN
               (SELECT delivery_id FROM delivery_alerts WHERE alert_id = ?)"""
    old = _decoded(connection, where, new.channel, alert_id)
    if new.state == "held" and any(each.state == "waiting" for each in old):
        return
    _drop(connection, old)
    _put_delivery(connection, new)


def _drop(connection: sqlite3.Connection, deliveries: list[Delivery]) -> None:
    ids = [(each.delivery_id,) for each in deliveries]
    connection.executemany("DELETE FROM deliveries WHERE delivery_id = ?", ids)
    connection.executemany("DELETE FROM delivery_alerts WHERE delivery_id = ?", ids)


def _decoded(connection: sqlite3.Connection, where: str, *values: Any) -> list[Delivery]:
    rows = connection.execute(f"SELECT body FROM deliveries WHERE {where}", values)
    return [_DELIVERY.decode(body) for (body,) in rows]


def _prune(connection: sqlite3.Connection, before_s: float) -> int:
    query = f"""SELECT alert_id FROM alerts WHERE updated_s < ? AND notify_s IS NULL
                AND alert_id NOT IN (SELECT alert_id FROM delivery_alerts JOIN deliveries
                                     USING (delivery_id) WHERE state IN {_UNSENT})"""
    old = connection.execute(query, (before_s,)).fetchall()
    for table in _OF_ALERTS:
        connection.executemany(f"DELETE FROM {table} WHERE alert_id = ?", old)
    if old:
        connection.execute(
            """DELETE FROM deliveries
               WHERE delivery_id NOT IN (SELECT delivery_id FROM delivery_alerts)"""
        )
    connection.execute("DELETE FROM news WHERE at_s < ?", (before_s,))
    connection.execute("DELETE FROM silences WHERE until_s < ?", (before_s,))
    return len(old)


def _asked(query: AlertQuery) -> tuple[str, list[Any]]:
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


def _first(found: Sequence[T]) -> T | None:
    return found[0] if found else None
