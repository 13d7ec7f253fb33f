"""``SqlAlertLog``: the alert log in the tables of a database; follows ``alerting.log.FullLog``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from alerting.alert import Alert, Occurrence
from alerting.log import AlertQuery, Delivery, DeliveryState, News, Silence
from services.storage import alert_tables
from services.storage.alert_tables import ALERT, OCCURRENCE, SILENCE, asked, encode
from services.storage.migrations.chain import ALERTS
from services.storage.talks import EACH, Row, SqliteTables, Tables, ask

T = TypeVar("T")


class SqlAlertLog:
    """Alerts that survive a restart, in tables. Raises ``services.storage.errors.StoreError``."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def close(self) -> None:
        """Let go of the tables; nothing may be called after it."""
        self._tables.close()

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        query = f"SELECT event_id FROM alert_events WHERE event_id IN ({EACH})"
        rows = await self._rows(query, encode(list(event_ids)))
        return {event_id for (event_id,) in rows}

    async def latest(self, subject: str) -> Alert | None:
        query = "SELECT body FROM alerts WHERE subject = ? ORDER BY opened_s DESC LIMIT 1"
        return _first([ALERT.decode(body) for (body,) in await self._rows(query, subject)])

    async def join(
        self, alerts: Sequence[Alert], occurrences: Sequence[tuple[str, Occurrence]]
    ) -> None:
        await self._tables.write(alert_tables.join(alerts, occurrences))

    async def save(self, alert: Alert) -> None:
        await self._tables.write(alert_tables.save(alert))

    async def due(self, now_s: float, limit: int) -> list[Alert]:
        query = """SELECT body FROM alerts WHERE notify_s <= ?
                   ORDER BY severity DESC, notify_s, alert_id LIMIT ?"""
        return [ALERT.decode(body) for (body,) in await self._rows(query, now_s, limit)]

    async def next_notify(self) -> float | None:
        query = "SELECT MIN(notify_s) FROM alerts WHERE notify_s IS NOT NULL"
        ((at_s,),) = await self._rows(query)
        return at_s  # type: ignore[no-any-return]

    async def news(self, fingerprints: Sequence[str]) -> dict[str, News]:
        query = f"SELECT fingerprint, at_s, severity FROM news WHERE fingerprint IN ({EACH})"
        rows = await self._rows(query, encode(list(fingerprints)))
        return {print_: News(at_s, severity) for print_, at_s, severity in rows}

    async def told(
        self, alert: Alert, deliveries: Sequence[Delivery], news: Mapping[str, News]
    ) -> None:
        await self._tables.write(alert_tables.tell(alert, deliveries, news))

    async def alert(self, alert_id: str) -> Alert | None:
        rows = await self._rows("SELECT body FROM alerts WHERE alert_id = ?", alert_id)
        return _first([ALERT.decode(body) for (body,) in rows])

    async def chain(self, alert_id: str, *, first: int, last: int) -> list[Occurrence]:
        query = """SELECT body FROM alert_events WHERE alert_id = ? AND body IS NOT NULL
                   ORDER BY at_s, event_id"""
        bodies = [body for (body,) in await self._rows(query, alert_id)]
        if len(bodies) > first + last:
            bodies = bodies[:first] + bodies[len(bodies) - last :]
        return [OCCURRENCE.decode(body) for body in bodies]

    async def alerts(self, query: AlertQuery) -> list[Alert]:
        where, values = asked(query)
        rows = await self._rows(
            f"SELECT body FROM alerts WHERE {where} ORDER BY opened_s DESC, alert_id DESC LIMIT ?",
            *values,
            query.limit,
        )
        return [ALERT.decode(body) for (body,) in rows]

    async def silences(self, now_s: float) -> list[Silence]:
        rows = await self._rows("SELECT body FROM silences WHERE until_s > ?", now_s)
        return [SILENCE.decode(body) for (body,) in rows]

    async def silence(self, silence: Silence) -> None:
        await self._tables.write(alert_tables.silence(silence))

    async def prune(self, before_s: float) -> int:
        return await self._tables.write(alert_tables.prune(before_s))

    async def resume(self) -> int:
        return await self._tables.write(alert_tables.resume())

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
        await self._tables.write(alert_tables.put(delivery))

    async def held(self, channel: str) -> list[Delivery]:
        where = "channel = ? AND state = 'held' ORDER BY created_s, delivery_id"
        return await self._deliveries(where, channel)

    async def digest(self, digest: Delivery) -> None:
        await self._tables.write(alert_tables.digest(digest))

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
        talk = alert_tables.expire(channels, before_s, now_s, problem)
        return await self._tables.write(talk)

    async def counts(self) -> dict[tuple[str, DeliveryState], int]:
        rows = await self._rows("SELECT channel, state, COUNT(*) FROM deliveries GROUP BY 1, 2")
        return {(channel, state): count for channel, state, count in rows}

    async def _rows(self, query: str, *values: Any) -> list[Row]:
        return await self._tables.read(ask(query, *values))

    async def _deliveries(self, where: str, *values: Any) -> list[Delivery]:
        return await self._tables.read(alert_tables.deliveries(where, *values))


class SqliteAlertLog(SqlAlertLog):
    """In one file; in memory when ``path`` is None."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(SqliteTables(path, ALERTS))


def _first(found: Sequence[T]) -> T | None:
    return found[0] if found else None
