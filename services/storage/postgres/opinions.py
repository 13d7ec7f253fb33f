"""What analysts said of events, in order. All of it is kept, with the event."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import msgspec

from preprocessing.event import AuthEvent
from preprocessing.feedback import Disposition
from preprocessing.history import Evidence
from services.storage.base import Opinion
from services.storage.postgres import events
from services.storage.postgres.database import Connection
from services.storage.postgres.reading import findable

_SUBJECT = """
    SELECT place, user_id, stamp, address, baseline, event, NULL::date AS day FROM flagged
    WHERE event_id = $1 UNION ALL
    SELECT place, user_id, stamp, address, baseline, NULL, day FROM verdicts
    WHERE event_id = $1 AND severity = 0 ORDER BY place LIMIT 1
"""
_COLUMNS = "serial, event_id, user_id, disposition, at, by, comment, event, whole"
_SAY = f"INSERT INTO feedback ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_EVIDENCE = msgspec.msgpack.Decoder(Evidence)
_EVENT = msgspec.msgpack.Decoder(AuthEvent)


async def say(
    connection: Connection,
    event_id: str,
    disposition: Disposition | None,
    by: str,
    comment: str,
    now_s: float,
) -> Opinion | None:
    """Put on record what somebody says of an event; None if nothing is known of the event."""
    found = await _subject(connection, event_id)
    if found is None:
        return None
    event, whole = found
    last = await connection.fetchval("SELECT coalesce(max(serial), 0) FROM feedback")
    said = Opinion(
        max(last + 1, int(now_s * 1e6)), event_id, event.user_id, disposition, now_s, by, comment,
        event, whole,
    )  # fmt: skip
    # The comment is somebody's free text, which may hold what a text of PostgreSQL may not.
    await connection.execute(_SAY, said.serial, event_id, said.user_id, disposition, now_s, by,
                             comment.encode(), msgspec.msgpack.encode(event), whole)  # fmt: skip
    return said


async def opinions(
    connection: Connection,
    *,
    user: str | None,
    event_id: str | None,
    before: int | None,
    limit: int,
) -> list[Opinion]:
    """The last of one user, of one event or of all, newest first."""
    if not (findable(user) and findable(event_id)):
        return []
    asked = {"user_id =": user, "event_id =": event_id, "serial <": before}
    given = {sql: value for sql, value in asked.items() if value is not None}
    where = " AND ".join(f"{sql} ${number}" for number, sql in enumerate(given, 1)) or "TRUE"
    order = f"ORDER BY serial DESC LIMIT ${len(given) + 1}"
    return await _found(connection, f"{where} {order}", *given.values(), limit)


async def opinions_after(connection: Connection, serial: int, limit: int) -> list[Opinion]:
    """The first that were given after one, in order."""
    return await _found(connection, "serial > $1 ORDER BY serial LIMIT $2", serial, limit)


async def opinion(connection: Connection, serial: int) -> Opinion | None:
    """What was said under a serial."""
    return next(iter(await _found(connection, "serial = $1", serial)), None)


async def _found(connection: Connection, where: str, *values: object) -> list[Opinion]:
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM feedback WHERE {where}", *values)
    return [_opinion(row) for row in rows]


def _opinion(row: asyncpg.Record) -> Opinion:
    told = dict(row)
    told |= {"comment": row["comment"].decode(), "event": _EVENT.decode(row["event"])}
    told["at_s"] = told.pop("at")
    return Opinion(**told)


async def _came(connection: Connection, row: asyncpg.Record) -> bytes | None:
    """The event of a verdict, if it is kept."""
    if row["day"] is None:
        return row["event"]  # type: ignore[no-any-return]
    return await events.find(connection, row["day"], row["stamp"], row["place"])


async def _subject(connection: Connection, event_id: str) -> tuple[AuthEvent, bool] | None:
    """An event as it came, or what the record has of it and False."""
    if not findable(event_id):
        return None
    row = await connection.fetchrow(_SUBJECT, event_id)
    came = None if row is None else await _came(connection, row)
    if came is not None:
        return _EVENT.decode(came), True
    if row is not None and row["baseline"] is not None:
        return _EVIDENCE.decode(row["baseline"]).event, True
    if row is not None:
        at = datetime.fromtimestamp(row["stamp"], UTC)
        only = AuthEvent(at, row["user_id"], "success", event_id=event_id,
                         source_ip=row["address"] or None)  # fmt: skip
        return only, False
    order = "event_id = $1 ORDER BY serial DESC LIMIT 1"
    earlier = await _found(connection, order, event_id)
    return (earlier[0].event, earlier[0].whole) if earlier else None
