"""Questions to the tables of verdicts, each within one read transaction."""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np

from alerting.alert import SEVERITY_ORDER, rank
from services.storage import events
from services.storage.appending import IN_BLOCK, mark
from services.storage.base import Flagged, Kept, Page, Tail, VerdictQuery
from services.storage.blocks import Blocks
from services.storage.packing import Frame, decode_frame, marks_of, unpack
from services.wire import Recorded

_COLUMNS = "v.event_id, v.user_id, v.frame, v.document, v.place"
_FIRST = f"SELECT {_COLUMNS} FROM verdicts v WHERE v.event_id IN (SELECT value FROM json_each(?))"
_GET = f"""
    SELECT {_COLUMNS}, v.recorded, b.version, b.path, b.manifest, e.features, e.baseline, c.event
    FROM verdicts v JOIN frames f USING (frame) JOIN bundles b USING (bundle)
    LEFT JOIN evidence e USING (place) LEFT JOIN flagged_events c USING (place) WHERE v.event_id = ?
"""
_FLAGGED = f"""
    SELECT {_COLUMNS}, v.severity FROM verdicts v INDEXED BY flagged_by_place
    WHERE v.severity > 0 AND v.place > ? ORDER BY v.place LIMIT ?
"""
_UNOFFERED = f"""
    SELECT {_COLUMNS}, v.stamp, v.address, e.baseline, e.traceparent
    FROM verdicts v INDEXED BY flagged_by_place LEFT JOIN evidence e USING (place)
    WHERE v.severity > 0 AND v.place > (SELECT value FROM marks WHERE name = 'offered')
    ORDER BY v.place LIMIT ?
"""
_AT = f"""
    SELECT {_COLUMNS} FROM verdicts v
    WHERE v.place IN (SELECT value FROM json_each(?))
"""
_NEWEST = """
    SELECT v.stamp, v.place FROM verdicts v {} WHERE {}
    ORDER BY v.stamp DESC, v.place DESC LIMIT ?
"""
_VERSION = "v.frame IN (SELECT frame FROM frames JOIN bundles USING (bundle) WHERE version = ?)"


class Verdicts:
    """Reads verdicts; remembers frames, which never change."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}

    def first(self, connection: sqlite3.Connection, event_ids: Sequence[str]) -> dict[str, bytes]:
        """The verdicts of those that are kept."""
        found = connection.execute(_FIRST, (json.dumps(list(event_ids)),)).fetchall()
        verdicts = self._verdicts(connection, found)
        return {row[0]: verdict for row, verdict in zip(found, verdicts, strict=True)}

    def get(self, connection: sqlite3.Connection, event_id: str) -> Kept | None:
        """All that is kept of one event."""
        row = connection.execute(_GET, (event_id,)).fetchone()
        if row is None:
            return None
        place, recorded_s, version, path, manifest, features, baseline, flagged = row[4:]
        (verdict,) = self._verdicts(connection, [row])
        event = events.event(connection, place, flagged)
        return Kept(verdict, version, path, manifest, recorded_s, features, baseline, event)

    def flagged(self, connection: sqlite3.Connection, after: int | None, limit: int) -> Tail:
        """What was flagged after a place."""
        last = mark(connection, "place")
        if after is None or after > last:
            return Tail(last)
        rows = connection.execute(_FLAGGED, (after, limit)).fetchall()
        flagged = [
            Flagged(row[4], SEVERITY_ORDER[row[5]], row[1], verdict)
            for row, verdict in zip(rows, self._verdicts(connection, rows), strict=True)
        ]
        return Tail(flagged[-1].place if len(flagged) == limit else last, flagged)

    def unoffered(self, connection: sqlite3.Connection, limit: int) -> tuple[Recorded, int] | None:
        """The oldest that were flagged and not offered yet."""
        rows = connection.execute(_UNOFFERED, (limit,)).fetchall()
        if not rows:
            return None
        recorded = Recorded(
            event_ids=[row[0] for row in rows],
            verdicts=self._verdicts(connection, rows),
            columns=0,
            values=b"",
            stamps=np.array([row[5] for row in rows], np.float64).tobytes(),
            addresses=[row[6] for row in rows],
            evidence={index: row[7] for index, row in enumerate(rows) if row[7] is not None},
            alerts=list(range(len(rows))),
            traces={index: row[8] for index, row in enumerate(rows) if row[8] is not None},
        )
        return recorded, rows[-1][4]

    def page(self, connection: sqlite3.Connection, query: VerdictQuery) -> Page:
        """The newest that a query asks for."""
        found = _newest(connection, query)
        shown = found[: query.limit]
        places = json.dumps([place for _, place in shown])
        at = {row[4]: row for row in connection.execute(_AT, (places,))}
        verdicts = self._verdicts(connection, [at[place] for _, place in shown])
        return Page(verdicts, shown[-1] if len(found) > query.limit else None)

    def _verdicts(
        self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]
    ) -> list[bytes]:
        """As they came; the rows begin with :data:`_COLUMNS`."""
        blocks = Blocks(connection, "documents")
        found = []
        for event_id, user_id, number, document, place, *_ in rows:
            if document == IN_BLOCK:
                document = blocks.get(place)
            if document is None:
                raise sqlite3.DatabaseError(f"verdict {place} is in no block")
            found.append(unpack(self._frame(connection, number), event_id, user_id, document))
        return found

    def _frame(self, connection: sqlite3.Connection, number: int) -> Frame:
        frame = self._frames.get(number)
        if frame is None:
            (encoded,) = connection.execute(
                "SELECT document FROM frames WHERE frame = ?", (number,)
            ).fetchone()
            frame = self._frames[number] = decode_frame(encoded)
        return frame


def _newest(connection: sqlite3.Connection, query: VerdictQuery) -> list[tuple[float, int]]:
    """Time and place of the newest verdicts that a query asks for, and of one more."""
    conditions, values = _conditions(query)
    limit = query.limit + 1
    if query.user is None and query.address is None:
        where = " AND ".join(conditions) or "TRUE"
        return connection.execute(_NEWEST.format("", where), (*values, limit)).fetchall()
    by = "user" if query.user is not None else "address"
    where = " AND ".join(("v.place >> 16 = ?", *conditions))
    sql = _NEWEST.format(f"INDEXED BY verdicts_by_{by}", where)
    found: list[tuple[float, int]] = []
    for drawer in _drawers(connection):
        found += connection.execute(sql, (drawer, *values, limit)).fetchall()
    return heapq.nlargest(limit, found)


# A document that is kept as it came is JSON and begins with a brace.
_REASON = """v.severity > 0 AND (
    instr(v.document, ?) OR substr(v.document, 1, 1) = x'7b' AND instr(v.document, ?))"""


def _drawers(connection: sqlite3.Connection) -> range:
    """Those of the index of users and of addresses, see ``schema``."""
    first, last = (
        connection.execute(f"SELECT {end}(place) FROM verdicts").fetchone()[0] or 0
        for end in ("min", "max")
    )
    return range(first >> 16, (last >> 16) + 1)


def _conditions(query: VerdictQuery) -> tuple[list[str], list[Any]]:
    least = None if query.severity_at_least is None else rank(query.severity_at_least)
    asked: list[tuple[str, Any]] = [
        ("v.stamp >= ?", query.since_s),
        ("v.stamp < ?", query.until_s),
        ("v.user_id = ?", query.user),
        ("v.address <> '' AND v.address = ?", query.address),
        ("v.severity > 0 AND v.severity >= ?", least or None),
        (_VERSION, query.version),
    ]
    conditions = [condition for condition, value in asked if value is not None]
    values = [value for _, value in asked if value is not None]
    if query.reason is not None:
        conditions.append(_REASON)
        values += marks_of(query.reason)
    if query.anomaly is not None:
        conditions.append("v.severity > 0" if query.anomaly else "v.severity = 0")
    if query.after is not None:
        stamp, place = query.after
        conditions.append("v.stamp <= ? AND (v.stamp < ? OR v.place < ?)")
        values += [stamp, stamp, place]
    return conditions, values
