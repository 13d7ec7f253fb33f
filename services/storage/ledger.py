"""The routings that were in force: who judged whom, since when, and who said so. All are kept."""

from __future__ import annotations

import sqlite3

from services.storage.base import RoutingEntry


def save_routing(
    connection: sqlite3.Connection, document: bytes, by: str, note: str, now_s: float
) -> int:
    """The revision a routing got."""
    (revision,) = connection.execute(
        "INSERT INTO routings (at, by, note, document) VALUES (?, ?, ?, ?) RETURNING revision",
        (now_s, by, note, document),
    ).fetchone()
    return int(revision)


def routings(connection: sqlite3.Connection, limit: int) -> list[RoutingEntry]:
    """The last ones, newest first."""
    rows = connection.execute(
        "SELECT revision, at, by, note, document FROM routings ORDER BY revision DESC LIMIT ?",
        (limit,),
    )
    return [RoutingEntry(*row) for row in rows]
