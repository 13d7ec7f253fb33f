"""The routings that were in force: who judged whom, since when, and who said so. All are kept."""

from __future__ import annotations

from services.storage.base import RoutingEntry
from services.storage.postgres.database import Connection

# Numbered without gaps, which a sequence would leave where a transaction comes to nothing.
_SAVE = """
    INSERT INTO routings SELECT coalesce(max(revision), 0) + 1, $1, $2, $3, $4 FROM routings
    RETURNING revision
"""
_LAST = "SELECT revision, at, by, note, document FROM routings ORDER BY revision DESC LIMIT $1"


async def save_routing(
    connection: Connection, document: bytes, by: str, note: str, now_s: float
) -> int:
    """The revision a routing got."""
    return int(await connection.fetchval(_SAVE, now_s, by, note, document))


async def routings(connection: Connection, limit: int) -> list[RoutingEntry]:
    """The last ones, newest first."""
    return [RoutingEntry(*row) for row in await connection.fetch(_LAST, limit)]
