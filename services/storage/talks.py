"""Work on tables that is written once for every SQL database: it yields what it asks, and is sent
the rows. Whoever has the connection drives it, within one transaction.

Values are marked by ``?``. What databases say differently is a constant here, as SQLite says it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from services.storage.migrations.chain import Chain
from services.storage.sqlite import Database

T = TypeVar("T")

Row = tuple[Any, ...]
Question = tuple[str, Row | list[Row]]
"""SQL with its values; with a list of them it is done for each, and no rows come of it."""
Talk = Generator[Question, list[Row], T]

#: Names of the value: a JSON list of texts.
EACH = "SELECT value FROM json_each(?)"


def ask(sql: str, *values: Any) -> Talk[list[Row]]:
    """One question."""
    return (yield sql, values)


def keep(table: str, columns: str, *rows: Row) -> Talk[None]:
    """Rows into a table, in place of those with the same first column."""
    names = columns.split()
    new = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    marks = ", ".join("?" * len(names))
    put = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
    yield f"{put} ON CONFLICT ({names[0]}) DO UPDATE SET {new}", list(rows)


class Tables(Protocol):
    """One database. Every method raises :class:`services.storage.errors.StoreError`."""

    async def write(self, talk: Talk[T]) -> T:
        """What the talk comes to, once all it wrote is committed; nothing is if it raises."""

    async def read(self, talk: Talk[T]) -> T:
        """What the talk comes to, which sees one state of the tables."""

    def close(self) -> None:
        """Finish what is under way; nothing may be called after it."""


class SqliteTables:
    """In a file, or in memory when ``path`` is None."""

    def __init__(self, path: Path | None, chain: Chain) -> None:
        self._database = Database(path, chain)

    async def write(self, talk: Talk[T]) -> T:
        return await self._database.write(lambda connection: _driven(connection, talk))

    async def read(self, talk: Talk[T]) -> T:
        return await self._database.read(lambda connection: _driven(connection, talk))

    def close(self) -> None:
        self._database.close()


def _driven(connection: sqlite3.Connection, talk: Talk[T]) -> T:
    try:
        sql, values = next(talk)
        while True:
            run = connection.executemany if isinstance(values, list) else connection.execute
            sql, values = talk.send(run(sql, values).fetchall())
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
