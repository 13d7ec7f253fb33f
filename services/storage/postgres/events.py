"""Events as they came, a few hundred of about the same time to one line of their table.

A line of its own for each took as long to write as a third of its verdict. Nothing is asked of
events but a span in order of time, and the one that belongs to a verdict.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import date

import msgspec

from services.storage.base import EventPage
from services.storage.postgres.database import Connection
from services.storage.postgres.days import earliest_day

#: Events in a line, and the time between its first and its last, seconds: one that is late does not
#: make a line be read by those who ask for another time.
MOST = 256
SPAN_S = 60.0

_COLUMNS = ("first_stamp", "last_stamp", "day", "events")
_OF_SPAN = """
    SELECT first_stamp, events FROM events
    WHERE first_stamp >= $1 AND first_stamp < $2 AND last_stamp >= $3 AND day >= $4
    ORDER BY first_stamp
"""
_FLAGGED = """
    SELECT stamp, place, event FROM flagged
    WHERE stamp >= $1 AND stamp < $2 AND (stamp, place) > ($3, $4) AND event IS NOT NULL
    ORDER BY stamp, place LIMIT $5
"""
_OF_VERDICT = """
    SELECT events FROM events
    WHERE day = $1 AND first_stamp >= $2 AND first_stamp <= $3 AND last_stamp >= $3
"""

Event = tuple[float, int, bytes]
"""When it happened, the place of its verdict, and the encoded event."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Event]).decode


async def add(connection: Connection, day: date, events: Sequence[Event]) -> None:
    """Keep events that were recorded on a day."""
    lines = [(line[0][0], line[-1][0], day, _encode(line)) for line in _lines(sorted(events))]
    if lines:
        await connection.copy_records_to_table("events", columns=_COLUMNS, records=lines)


async def find(connection: Connection, day: date, stamp: float, place: int) -> bytes | None:
    """The event of an ordinary verdict, None if it is not kept any more."""
    for (line,) in await connection.fetch(_OF_VERDICT, day, stamp - SPAN_S, stamp):
        for _, at, event in _decode(line):
            if at == place:
                return event
    return None


async def page(
    connection: Connection,
    since_s: float,
    until_s: float,
    after: tuple[float, int] | None,
    limit: int,
) -> EventPage:
    """The oldest events of a span that come after a cursor."""
    after = after or (since_s, 0)
    begin_s = max(since_s, after[0])
    flagged = await connection.fetch(_FLAGGED, begin_s, until_s, *after, limit + 1)
    found = [(stamp, place, event) for stamp, place, event in flagged]
    span = (begin_s - SPAN_S, until_s, begin_s, earliest_day(begin_s))
    async for first_s, line in connection.cursor(_OF_SPAN, *span, prefetch=4):
        if len(found) > limit and found[-1][0] < first_s:
            break  # all that follows is later
        found += [each for each in _decode(line) if after < each[:2] and each[0] < until_s]
        found = heapq.nsmallest(limit + 1, found)
    shown = found[:limit]
    last = shown[-1][:2] if len(found) > limit else None
    return EventPage([event for _, _, event in shown], last)


def _lines(events: list[Event]) -> Iterator[list[Event]]:
    line: list[Event] = []
    for event in events:
        if line and (len(line) == MOST or event[0] - line[0][0] >= SPAN_S):
            yield line
            line = []
        line.append(event)
    if line:
        yield line
