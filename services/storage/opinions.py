"""What analysts said of events, in order. All of it is kept, with the event."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import msgspec

from preprocessing.event import AuthEvent
from preprocessing.feedback import Disposition
from preprocessing.history import Evidence
from services.storage import events
from services.storage.base import Opinion

_SUBJECT = """
    SELECT v.user_id, v.stamp, v.address, e.baseline, v.place, c.event FROM verdicts v
    LEFT JOIN evidence e USING (place) LEFT JOIN flagged_events c USING (place) WHERE v.event_id = ?
"""
_COLUMNS = "serial, event_id, user_id, disposition, at, by, comment, event, whole"
_EVIDENCE = msgspec.msgpack.Decoder(Evidence)
_EVENT = msgspec.msgpack.Decoder(AuthEvent)


def say(
    connection: sqlite3.Connection,
    event_id: str,
    disposition: Disposition | None,
    by: str,
    comment: str,
    now_s: float,
) -> Opinion | None:
    """Put on record what somebody says of an event; None if nothing is known of the event."""
    found = _subject(connection, event_id)
    if found is None:
        return None
    event, whole = found
    (last,) = connection.execute("SELECT coalesce(max(serial), 0) FROM feedback").fetchone()
    said = Opinion(
        max(last + 1, int(now_s * 1e6)), event_id, event.user_id, disposition, now_s, by, comment,
        event, whole,
    )  # fmt: skip
    connection.execute(
        f"INSERT INTO feedback ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (said.serial, event_id, said.user_id, disposition, now_s, by, comment,
         msgspec.msgpack.encode(event), whole),
    )  # fmt: skip
    return said


def opinions(
    connection: sqlite3.Connection,
    *,
    user: str | None,
    event_id: str | None,
    before: int | None,
    limit: int,
) -> list[Opinion]:
    """The last of one user, of one event or of all, newest first."""
    asked = {"user_id = ?": user, "event_id = ?": event_id, "serial < ?": before}
    given = {sql: value for sql, value in asked.items() if value is not None}
    where = " AND ".join(given) or "TRUE"
    return _found(connection, f"{where} ORDER BY serial DESC LIMIT ?", *given.values(), limit)


def opinions_after(connection: sqlite3.Connection, serial: int, limit: int) -> list[Opinion]:
    """The first that were given after one, in order."""
    return _found(connection, "serial > ? ORDER BY serial LIMIT ?", serial, limit)


def opinion(connection: sqlite3.Connection, serial: int) -> Opinion | None:
    """What was said under a serial."""
    return next(iter(_found(connection, "serial = ?", serial)), None)


def _found(connection: sqlite3.Connection, where: str, *values: object) -> list[Opinion]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM feedback WHERE {where}", values)
    return [Opinion(*[*row[:7], _EVENT.decode(row[7]), bool(row[8])]) for row in rows]


def _subject(connection: sqlite3.Connection, event_id: str) -> tuple[AuthEvent, bool] | None:
    """An event as it came, or what the record has of it and False."""
    row = connection.execute(_SUBJECT, (event_id,)).fetchone()
    event = None if row is None else events.event(connection, *row[4:])
    if event is not None:
        return _EVENT.decode(event), True
    if row is not None and row[3] is not None:
        return _EVIDENCE.decode(row[3]).event, True
    if row is not None:
        at = datetime.fromtimestamp(row[1], UTC)
        only = AuthEvent(at, row[0], "success", event_id=event_id, source_ip=row[2] or None)
        return only, False
    earlier = _found(connection, "event_id = ? ORDER BY serial DESC LIMIT 1", event_id)
    return (earlier[0].event, earlier[0].whole) if earlier else None
