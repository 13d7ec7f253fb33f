"""Who decided what: the routings that were in force, and audit entries. Nothing is removed."""

from __future__ import annotations

import sqlite3

from services.storage.base import AuditEntry, RoutingEntry


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


def audit(connection: sqlite3.Connection, kind: str, by: str, detail: str, now_s: float) -> None:
    """One more entry."""
    connection.execute(
        "INSERT INTO audits (at, kind, by, detail) VALUES (?, ?, ?, ?)", (now_s, kind, by, detail)
    )


def audits(connection: sqlite3.Connection, limit: int) -> list[AuditEntry]:
    """The last ones, newest first."""
    rows = connection.execute(
        "SELECT at, kind, by, detail FROM audits ORDER BY entry DESC LIMIT ?", (limit,)
    )
    return [AuditEntry(*row) for row in rows]
