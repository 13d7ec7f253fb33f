"""What is beyond the limits goes: ordinary verdicts by whole days, the others by the row.

Rows that are deleted leave room that is used again, never given back to the disk; a dropped day is.
So days alone go when the tables are larger than they may be: never the one that is written to, nor
what is flagged.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from services.storage.base import Limits, Size
from services.storage.postgres import days
from services.storage.postgres.database import Connection
from services.storage.postgres.days import Day
from services.storage.postgres.reading import mark

LOG = logging.getLogger("ztad.store")

DAY_S = 86400.0
#: How often the size of the tables is looked at, seconds: it asks the disk about every file.
SIZE_EVERY_S = 30.0
#: So long a drop waits for those who read, milliseconds, and they behind it; it is tried again.
LOCK_MS = 500

_SIZE = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM (
        SELECT inhrelid AS oid FROM pg_inherits
        WHERE inhparent IN ('verdicts'::regclass, 'events'::regclass)
        UNION ALL VALUES ('flagged'::regclass), ('shadow'::regclass)
    ) tables
"""
# Rows lie in the order they came, so the first are the oldest; looking for them by place would
# take an index. A day is one table, where a ctid is one row.
_OLDEST_OF_DAY = """
    DELETE FROM verdicts WHERE day = $1 AND ctid = ANY(ARRAY(
        SELECT ctid FROM verdicts WHERE day = $1 AND severity = 0 LIMIT $2))
"""
_DELETE = """
    DELETE FROM {table} WHERE place IN (SELECT place FROM (
        SELECT place, recorded FROM {table} ORDER BY place LIMIT $1) oldest WHERE recorded < $2)
"""
_FOREVER = float("inf")
# Serials are microseconds since the epoch.
_FORGET = """
    DELETE FROM {0} WHERE serial IN (
        SELECT serial FROM {0} WHERE serial < $1 ORDER BY serial LIMIT $2)
"""


class Trimmer:
    """Takes steps towards the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sized_s = 0.0

    async def trim(self, connection: Connection, now_s: float, most: int) -> int:
        """Within a transaction: remove at most so many verdicts, or some days of ordinary ones; how
        many went."""
        gone = await self._shadow(connection, now_s, most)
        if gone < most:
            gone += await self._ordinary(connection, now_s, most - gone)
        if gone < most:
            before_s = now_s - self._limits.most_alert_days * DAY_S
            gone += await _delete(connection, "flagged", most - gone, before_s)
        for table, keep in (
            ("feedback", self._limits.most_feedback_days),
            ("audit", self._limits.most_audit_days),
        ):
            if gone < most:
                before = int((now_s - keep * DAY_S) * 1e6)
                told = await connection.execute(_FORGET.format(table), before, most - gone)
                gone += _count(told)
        return gone

    async def _shadow(self, connection: Connection, now_s: float, most: int) -> int:
        before_s = now_s - self._limits.most_days * DAY_S
        gone = await _delete(connection, "shadow", most, before_s)
        over = await mark(connection, "shadow") - self._limits.most_shadow
        if over > 0 and gone < most:
            gone += await _delete(connection, "shadow", min(over, most - gone), _FOREVER)
        return gone

    async def _ordinary(self, connection: Connection, now_s: float, most: int) -> int:
        known = (await days.known(connection)).days
        over = [day for day in known if day.end_s <= now_s - self._limits.most_days * DAY_S]
        if over:
            return await _drop(connection, over)
        events_s = now_s - self._limits.most_event_days * DAY_S
        stale = [day for day in known if day.end_s <= events_s and day.events]
        if stale:
            return await _drop_events(connection, stale)
        beyond = self._beyond(known)
        oldest = next((day for day in known if day.ordinary), None)
        if oldest is not None and beyond > 0:
            if oldest.ordinary <= beyond and oldest.end_s <= now_s:
                return await _drop(connection, [oldest])
            return await _thin(connection, oldest, min(beyond, most))
        past = [day for day in known if day.end_s <= now_s and not day.empty]
        if past and await self._too_large(connection, now_s):
            return await _drop(connection, past[:1])
        return 0

    def _beyond(self, known: Sequence[Day]) -> int:
        """How many ordinary verdicts there are too many."""
        if self._limits.most_verdicts is None:
            return 0
        return sum(day.ordinary for day in known) - self._limits.most_verdicts

    async def _too_large(self, connection: Connection, now_s: float) -> bool:
        if abs(now_s - self._sized_s) < SIZE_EVERY_S:
            return False
        if await connection.fetchval(_SIZE) > self._limits.most_bytes:
            return True
        self._sized_s = now_s
        return False


async def size(connection: Connection) -> Size:
    """How much there is."""
    known = [day for day in (await days.known(connection)).days if not day.empty]
    flagged = await connection.fetchval("SELECT min(recorded) FROM flagged WHERE place = "
                                        "(SELECT min(place) FROM flagged)")  # fmt: skip
    oldest = [day.first_recorded_s for day in known[:1]] + (
        [flagged] if flagged is not None else []
    )
    size_bytes = await connection.fetchval(_SIZE)
    return Size(
        ordinary=sum(day.ordinary for day in known),
        flagged=await mark(connection, "flagged"),
        shadow=await mark(connection, "shadow"),
        used_bytes=size_bytes,
        file_bytes=size_bytes,
        oldest_s=min(oldest, default=None),
    )


async def _drop(connection: Connection, over: Sequence[Day]) -> int:
    dropped = await _locked(connection, days.drop, over)
    return sum(day.ordinary for day in dropped)


async def _drop_events(connection: Connection, stale: Sequence[Day]) -> int:
    dropped = await _locked(connection, days.drop_events, stale)
    return sum(day.events for day in dropped)


async def _locked(
    connection: Connection, drop: Callable[[Connection, Day], Awaitable[None]], which: Sequence[Day]
) -> Sequence[Day]:
    """Those that were dropped: none while somebody reads."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
            for day in which:
                await drop(connection, day)
    except asyncpg.LockNotAvailableError:
        LOG.info("what was recorded on %s is dropped later: somebody reads it", which[0].day)
        return ()
    return which


async def _thin(connection: Connection, day: Day, most: int) -> int:
    gone = _count(await connection.execute(_OLDEST_OF_DAY, day.day, most))
    thinned = "UPDATE days SET ordinary = ordinary - $2 WHERE day = $1"
    await connection.execute(thinned, day.day, gone)
    return gone


async def _delete(connection: Connection, kind: str, most: int, before_s: float) -> int:
    """Of a kind at most so many of the oldest that were recorded before a time."""
    first = await connection.fetchval(f"SELECT recorded FROM {kind} ORDER BY place LIMIT 1")
    if first is None or first >= before_s:
        return 0
    gone = _count(await connection.execute(_DELETE.format(table=kind), most, before_s))
    await connection.execute("UPDATE marks SET value = value - $2 WHERE name = $1", kind, gone)
    return gone


def _count(status: str) -> int:
    """As PostgreSQL tells it: ``DELETE 3``."""
    return int(status.rpartition(" ")[2])
