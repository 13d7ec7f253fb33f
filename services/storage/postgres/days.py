"""The days of the tables of verdicts and events: made ahead, looked up, dropped whole.

A day is when a verdict was recorded, in UTC. Of every day it is known between which stamps its
events lie: an event that was recorded before, with the stamp it has, can be in no other. A line of
``days`` is there exactly when the day's part of both tables is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from preprocessing.event import MAX_AHEAD_S
from services.storage.postgres.database import Connection

#: So many days are made before they begin.
AHEAD = 2
#: Python's calendar ends with the year 9999.
_LAST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
TABLES = ("verdicts", "events")
_KNOWN = """
    SELECT day, ordinary, events, first_stamp, last_stamp, first_recorded,
        (SELECT value FROM marks WHERE name = 'dropped')
    FROM days ORDER BY day
"""
_COUNT = """
    UPDATE days SET ordinary = ordinary + $2, events = events + $3,
        first_stamp = least(first_stamp, $4), last_stamp = greatest(last_stamp, $5),
        first_recorded = least(first_recorded, $6)
    WHERE day = $1
"""
# Attaching keeps nobody from reading meanwhile, making it a partition at once would.
_MAKE = """
    CREATE TABLE {name} (LIKE {table} INCLUDING STORAGE);
    ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{day}') TO ('{next}')
"""
_IS_PARTITIONED = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'verdicts'::regclass"


def day_of(at_s: float) -> date:
    """The day of an instant, seconds since the epoch."""
    return datetime.fromtimestamp(at_s, UTC).date()


def earliest_day(since_s: float) -> date:
    """No event since then was recorded before this day."""
    return day_of(min(max(0.0, since_s - MAX_AHEAD_S), _LAST_S))


@dataclass(frozen=True, slots=True)
class Day:
    """A day, with so many ordinary verdicts and events of them, between two stamps."""

    day: date
    ordinary: int
    events: int
    first_stamp: float
    last_stamp: float
    first_recorded_s: float

    @property
    def empty(self) -> bool:
        """Whether nothing was recorded on it."""
        return self.first_stamp > self.last_stamp

    @property
    def end_s(self) -> float:
        """When it is over, seconds since the epoch."""
        at = self.day + timedelta(days=1)
        return datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Days:
    """What days there are, oldest first. ``dropped_s`` is the last stamp of those that were."""

    days: Sequence[Day]
    dropped_s: float

    def among(
        self, stamps: NDArray[np.float64], today: date
    ) -> list[tuple[date | None, NDArray[np.intp]]]:
        """Where else events with these stamps can be: which rows on what other day; None stands for
        the days that were dropped."""
        zones: list[tuple[date | None, float, float]] = [
            (each.day, each.first_stamp, each.last_stamp) for each in self.days if each.day != today
        ]
        found = []
        for day, first, last in [*zones, (None, -np.inf, self.dropped_s)]:
            rows = np.flatnonzero((stamps >= first) & (stamps <= last))
            if rows.size:
                found.append((day, rows))
        return found


async def known(connection: Connection) -> Days:
    """What days there are now."""
    rows = await connection.fetch(_KNOWN)
    return Days([Day(*row[:6]) for row in rows], rows[0][6] if rows else -np.inf)


async def made(connection: Connection, days: Days, today: date) -> Days:
    """The days, once today is among them and what follows it is made."""
    there = {each.day for each in days.days}
    if {today, today + timedelta(days=1)} <= there:
        return days
    partitioned = await connection.fetchval(_IS_PARTITIONED)
    for day in (today + timedelta(days=ahead) for ahead in range(AHEAD + 1)):
        if day not in there:
            after = day + timedelta(days=1)
            for table in TABLES if partitioned else ():
                name = _name(table, day)
                await connection.execute(_MAKE.format(table=table, name=name, day=day, next=after))
            empty = "INSERT INTO days VALUES ($1, 0, 'infinity', '-infinity', 'infinity', 0)"
            await connection.execute(empty, day)
    return await known(connection)


async def count(
    connection: Connection,
    day: date,
    added: tuple[int, int],
    stamps: NDArray[np.float64],
    now_s: float,
) -> None:
    """So many ordinary verdicts and events of them were added to a day, with these stamps in all
    that was added."""
    span = (float(stamps.min()), float(stamps.max()))
    await connection.execute(_COUNT, day, *added, *span, now_s)


async def drop(connection: Connection, day: Day) -> None:
    """Drop the oldest day."""
    for table in TABLES:
        await _drop(connection, table, day.day, "DROP TABLE")
    await connection.execute("DELETE FROM days WHERE day = $1", day.day)
    await connection.execute(
        "UPDATE marks SET value = greatest(value, $1) WHERE name = 'dropped'", day.last_stamp
    )


async def drop_events(connection: Connection, day: Day) -> None:
    """Let go of the events of the oldest day that has some; its verdicts stay."""
    await _drop(connection, "events", day.day, "TRUNCATE")
    await connection.execute("UPDATE days SET events = 0 WHERE day = $1", day.day)


async def _drop(connection: Connection, table: str, day: date, how: str) -> None:
    if await connection.fetchval(_IS_PARTITIONED):
        await connection.execute(f"{how} {_name(table, day)}")
    else:
        after = day + timedelta(days=1)
        await connection.execute("SELECT drop_chunks($1::regclass, $2::date)", table, after)


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"
