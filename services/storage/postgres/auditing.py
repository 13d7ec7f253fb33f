"""Lines of the audit log, in the order they were put on record."""

from __future__ import annotations

from collections.abc import Sequence

from services.storage.auditing import serials
from services.storage.base import AuditLine
from services.storage.postgres.database import Connection

_SERIAL = "SELECT coalesce(max(serial), 0) FROM audit"
_ADD = """
    INSERT INTO audit (serial, line_id, at, document) VALUES ($1, $2, $3, $4)
    ON CONFLICT (line_id) DO NOTHING
"""
_LAST = """
    SELECT line_id, at, document, serial FROM audit
    WHERE $1::bigint IS NULL OR serial < $1 ORDER BY serial DESC LIMIT $2
"""


async def add(connection: Connection, lines: Sequence[AuditLine]) -> None:
    """Within a transaction: those that are not there yet."""
    last = await connection.fetchval(_SERIAL)
    rows = [
        (serial, line.line_id, line.at_s, line.document)
        for serial, line in zip(serials(last, lines), lines, strict=True)
    ]
    await connection.executemany(_ADD, rows)


async def last(connection: Connection, before: int | None, limit: int) -> list[AuditLine]:
    """The newest below a serial."""
    return [AuditLine(*row) for row in await connection.fetch(_LAST, before, limit)]
