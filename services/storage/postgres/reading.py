"""Questions to the tables of verdicts, each within one transaction that reads."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import asyncpg
import numpy as np

from alerting.alert import SEVERITY_ORDER, rank
from services.storage.base import Flagged, Kept, Page, Tail, VerdictQuery
from services.storage.packing import Frame, decode_frame, marks_of, unpack
from services.storage.postgres import events
from services.storage.postgres.database import Connection
from services.storage.postgres.days import earliest_day
from services.wire import Recorded

_COLUMNS = "event_id, user_id, frame, document, place"
_FIRST = f"""
    SELECT {_COLUMNS} FROM flagged WHERE event_id = ANY($1) UNION ALL
    SELECT {_COLUMNS} FROM verdicts WHERE event_id = ANY($1) AND severity = 0
"""
_GET = f"""
    SELECT v.*, b.version, b.path, b.manifest FROM (
        SELECT {_COLUMNS}, recorded, features, baseline, event, NULL::date AS day, stamp
        FROM flagged WHERE event_id = $1
        UNION ALL SELECT {_COLUMNS}, recorded, features, baseline, NULL, day, stamp
        FROM verdicts WHERE event_id = $1 AND severity = 0
    ) v JOIN frames f USING (frame) JOIN bundles b USING (bundle) ORDER BY place LIMIT 1
"""
_FLAGGED = f"""
    SELECT {_COLUMNS}, severity FROM flagged WHERE place > $1 ORDER BY place LIMIT $2
"""
_UNOFFERED = f"""
    SELECT {_COLUMNS}, stamp, address, baseline, traceparent FROM flagged
    WHERE place > (SELECT value::bigint FROM marks WHERE name = 'offered') ORDER BY place LIMIT $1
"""
_NEWEST = f"""
    SELECT {_COLUMNS}, stamp FROM {{}} WHERE {{}} ORDER BY stamp DESC, place DESC LIMIT {{}}
"""
_VERSION = (
    "frame = ANY(ARRAY(SELECT frame FROM frames JOIN bundles USING (bundle) WHERE version = {}))"
)


def findable(text: str | None) -> bool:
    """Whether it can be in the store: a PostgreSQL keeps no NUL character in a text."""
    return text is None or "\0" not in text


class Verdicts:
    """Reads verdicts; remembers frames, which never change."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}

    def forget(self) -> None:
        """It may be another server."""
        self._frames.clear()

    async def first(self, connection: Connection, event_ids: Sequence[str]) -> dict[str, bytes]:
        """The verdicts of those that are kept."""
        rows = await connection.fetch(_FIRST, [each for each in event_ids if findable(each)])
        rows.sort(key=_place, reverse=True)
        return {row[0]: await self._verdict(connection, row) for row in rows}

    async def get(self, connection: Connection, event_id: str) -> Kept | None:
        """All that is kept of one event."""
        row = await connection.fetchrow(_GET, event_id) if findable(event_id) else None
        if row is None:
            return None
        recorded_s, features, baseline, event, day, stamp, version, path, manifest = row[5:]
        if day is not None:
            event = await events.find(connection, day, stamp, row[4])
        verdict = await self._verdict(connection, row)
        return Kept(verdict, version, path, manifest, recorded_s, features, baseline, event)

    async def flagged(self, connection: Connection, after: int | None, limit: int) -> Tail:
        """What was flagged after a place."""
        last = await mark(connection, "place")
        if after is None or after > last:
            return Tail(last)
        rows = await connection.fetch(_FLAGGED, after, limit)
        flagged = [
            Flagged(row[4], SEVERITY_ORDER[row[5]], row[1], await self._verdict(connection, row))
            for row in rows
        ]
        return Tail(flagged[-1].place if len(flagged) == limit else last, flagged)

    async def unoffered(self, connection: Connection, limit: int) -> tuple[Recorded, int] | None:
        """The oldest that were flagged and not offered yet."""
        rows = await connection.fetch(_UNOFFERED, limit)
        if not rows:
            return None
        recorded = Recorded(
            event_ids=[row[0] for row in rows],
            verdicts=[await self._verdict(connection, row) for row in rows],
            columns=0,
            values=b"",
            stamps=np.array([row[5] for row in rows], np.float64).tobytes(),
            addresses=[row[6] for row in rows],
            evidence={index: row[7] for index, row in enumerate(rows) if row[7] is not None},
            alerts=list(range(len(rows))),
            traces={index: row[8] for index, row in enumerate(rows) if row[8] is not None},
        )
        return recorded, rows[-1][4]

    async def page(self, connection: Connection, query: VerdictQuery) -> Page:
        """The newest that a query asks for."""
        if not all(map(findable, (query.user, query.address, query.reason, query.version))):
            return Page([])
        rows: list[asyncpg.Record] = []
        for table in _tables(query):
            conditions, values = _conditions(query, table)
            sql = _NEWEST.format(table, " AND ".join(conditions) or "TRUE", query.limit + 1)
            rows += await connection.fetch(sql, *values)
        rows = heapq.nlargest(query.limit + 1, rows, key=_cursor)
        shown = rows[: query.limit]
        verdicts = [await self._verdict(connection, row) for row in shown]
        return Page(verdicts, _cursor(shown[-1]) if len(rows) > query.limit else None)

    async def _verdict(self, connection: Connection, row: asyncpg.Record) -> bytes:
        event_id, user_id, number, document = row[:4]
        frame = self._frames.get(number)
        if frame is None:
            sql = "SELECT document FROM frames WHERE frame = $1"
            frame = self._frames[number] = decode_frame(await connection.fetchval(sql, number))
        return unpack(frame, event_id, user_id, document)


async def mark(connection: Connection, name: str) -> int:
    """A number that is kept beside the verdicts: a place, or how many there are of a kind."""
    return int(await connection.fetchval("SELECT value FROM marks WHERE name = $1", name))


def _place(row: asyncpg.Record) -> int:
    return int(row[4])


def _cursor(row: asyncpg.Record) -> tuple[float, int]:
    return row[5], row[4]


# A document that is kept as it came is JSON and begins with a brace.
_REASON = """(position({}::bytea IN document) > 0
    OR substr(document, 1, 1) = '\\x7b'::bytea AND position({}::bytea IN document) > 0)"""


def _tables(query: VerdictQuery) -> tuple[str, ...]:
    """Where what a query asks for can be."""
    if query.anomaly is False:
        return ("verdicts",)
    least = 0 if query.severity_at_least is None else rank(query.severity_at_least)
    if query.anomaly or least or query.reason is not None:
        return ("flagged",)
    return ("verdicts", "flagged")


def _conditions(query: VerdictQuery, table: str) -> tuple[list[str], list[Any]]:
    least = None if query.severity_at_least is None else rank(query.severity_at_least)
    asked: list[tuple[str, Any]] = [
        ("stamp >= {}", query.since_s),
        ("stamp < {}", query.until_s),
        ("user_id = {}", query.user),
        ("address <> '' AND address = {}", query.address),
        ("severity >= {}", least),
        (_VERSION, query.version),
    ]
    if query.reason is not None:
        asked.append((_REASON, marks_of(query.reason)))
    if query.after is not None:
        asked.append(("(stamp, place) < ({}, {})", query.after))
    if table == "verdicts":
        asked.append(("severity = 0", ()))
        if query.since_s is not None:
            asked.append(("day >= {}", earliest_day(query.since_s)))
    conditions: list[str] = []
    values: list[Any] = []
    for condition, value in asked:
        if value is None:
            continue
        given = value if isinstance(value, tuple) else (value,)
        numbers = range(len(values) + 1, len(values) + len(given) + 1)
        conditions.append(condition.format(*(f"${number}" for number in numbers)))
        values += given
    return conditions, values
