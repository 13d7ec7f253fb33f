"""Events as they came, beside their verdicts.

Events are much alike, so many together take an eighth of the space: those of ordinary verdicts are
in compressed blocks, which go as a whole. Those over the threshold outlive them one by one.
"""

from __future__ import annotations

import heapq
import sqlite3
import zlib
from collections.abc import Mapping, Sequence

import msgspec

from services.storage.base import EventPage

#: A block is undone in a millisecond, and larger ones would hardly be smaller together.
MOST_IN_BLOCK = 1000
#: More effort takes several times as long for a fifth less.
_EFFORT = 1

_ADD_BLOCK = "INSERT INTO events VALUES (?, ?, ?, ?)"
_ADD_FLAGGED = "INSERT INTO flagged_events VALUES (?, ?)"
_BLOCK = "SELECT block FROM events WHERE place >= ? AND first <= ? ORDER BY place LIMIT 1"
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
_PLACED = msgspec.msgpack.Decoder(dict[int, bytes])
_encode = msgspec.msgpack.Encoder().encode


def add(connection: sqlite3.Connection, events: Mapping[int, bytes], now_s: int) -> None:
    """Keep the events of ordinary verdicts, by their places, which grow."""
    places = list(events)
    blocks = []
    for start in range(0, len(places), MOST_IN_BLOCK):
        some = places[start : start + MOST_IN_BLOCK]
        block = zlib.compress(_encode({place: events[place] for place in some}), _EFFORT)
        blocks.append((some[-1], some[0], now_s, block))
    connection.executemany(_ADD_BLOCK, blocks)


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
    blocks: dict[int, bytes] = {}
    return [flagged or _from_block(connection, place, blocks) for place, flagged in verdicts]


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


def _from_block(
    connection: sqlite3.Connection, place: int, blocks: dict[int, bytes]
) -> bytes | None:
    """From ``blocks``, to which the block is added where it is not there yet."""
    if place not in blocks:
        row = connection.execute(_BLOCK, (place, place)).fetchone()
        if row is not None:
            blocks |= _PLACED.decode(zlib.decompress(row[0]))
    return blocks.get(place)
