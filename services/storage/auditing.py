"""Lines of the audit log, in the order they were put on record."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from services.storage.base import AuditLine

_SERIAL = "SELECT coalesce(max(serial), 0) FROM audit"
_ADD = "INSERT OR IGNORE INTO audit (serial, line_id, at, document) VALUES (?, ?, ?, ?)"
_LAST = """
    SELECT line_id, at, document, serial FROM audit
    WHERE serial < ? ORDER BY serial DESC LIMIT ?
"""
_NO_SERIAL = 2**63 - 1


def serials(last: int, lines: Sequence[AuditLine]) -> list[int]:
    """Numbers above ``last`` that grow with the time of the lines, in microseconds: what is older
    than some time is found by them."""
    given = []
    for line in lines:
        last = max(last + 1, int(line.at_s * 1e6))
        given.append(last)
    return given


def add(connection: sqlite3.Connection, lines: Sequence[AuditLine]) -> None:
    """Within a transaction: those that are not there yet."""
    (last,) = connection.execute(_SERIAL).fetchone()
    connection.executemany(
        _ADD,
        [
            (serial, line.line_id, line.at_s, line.document)
            for serial, line in zip(serials(last, lines), lines, strict=True)
        ],
    )


def last(connection: sqlite3.Connection, before: int | None, limit: int) -> list[AuditLine]:
    """The newest below a serial."""
    below = _NO_SERIAL if before is None else before
    return [AuditLine(*row) for row in connection.execute(_LAST, (below, limit))]
