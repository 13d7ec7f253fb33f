"""Events as they came, beside their verdicts.

Those of ordinary verdicts are in compressed blocks (``blocks.py``), where they take a twentieth of
the space. Those over the threshold outlive them one by one.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Mapping, Sequence

from services.storage.base import EventPage
from services.storage.blocks import Blocks, blocks

_ADD_BLOCK = "INSERT INTO events VALUES (?, ?, ?, ?)"
_ADD_FLAGGED = "INSERT INTO flagged_events VALUES (?, ?)"
_FIRST = "SELECT first FROM events ORDER BY place LIMIT 1"
# Each table in the order of its index; what is flagged is in an index of its own.
_SPAN = "v.stamp >= ? AND v.stamp < ? AND (v.stamp > ? OR v.place > ?)"
_ORDINARY = f"""
    SELECT v.stamp, v.place, NULL FROM verdicts v INDEXED BY verdicts_by_time
    WHERE {_SPAN} AND v.place >= ? AND v.severity = 0 ORDER BY v.stamp, v.place LIMIT ?
"""
_FLAGGED = f"""
    SELECT v.stamp, v.place, e.event
    FROM verdicts v INDEXED BY flagged_by_time CROSS JOIN flagged_events e USING (place)
    WHERE {_SPAN} AND v.severity > 0 ORDER BY v.stamp, v.place LIMIT ?
"""


def add(connection: sqlite3.Connection, events: Mapping[int, bytes], now_s: int) -> None:
    """Keep the events of ordinary verdicts, by their places, which grow."""
    lines = [(last, first, now_s, block) for last, first, block in blocks(events)]
    connection.executemany(_ADD_BLOCK, lines)


def add_flagged(connection: sqlite3.Connection, events: Mapping[int, bytes]) -> None:
    """Keep the events of verdicts over the threshold, by their places."""
    connection.executemany(_ADD_FLAGGED, events.items())


def event(connection: sqlite3.Connection, place: int, flagged: bytes | None) -> bytes | None:
    """The event of a verdict, if it is kept; ``flagged`` is what is kept over the threshold."""
    return those(connection, [(place, flagged)])[0]


def those(
    connection: sqlite3.Connection, verdicts: Sequence[tuple[int, bytes | None]]
) -> list[bytes | None]:
    """The same of many: of each its place, and what is kept over the threshold."""
    ordinary = Blocks(connection, "events")
    return [flagged or ordinary.get(place) for place, flagged in verdicts]


def page(
    connection: sqlite3.Connection,
    since_s: float,
    until_s: float,
    after: tuple[float, int] | None,
    limit: int,
) -> EventPage:
    """The oldest events of a span that come after a cursor."""
    stamp, place = after or (since_s, 0)
    span = (max(since_s, stamp), until_s, stamp, place)
    found = connection.execute(_FLAGGED, (*span, limit + 1)).fetchall()
    first = connection.execute(_FIRST).fetchone()
    if first is not None:
        found += connection.execute(_ORDINARY, (*span, *first, limit + 1)).fetchall()
    rows = heapq.nsmallest(limit + 1, found)
    shown = rows[:limit]
    events = those(connection, [row[1:] for row in shown])
    kept = [each for each in events if each is not None]
    return EventPage(kept, shown[-1][:2] if len(rows) > limit else None)
