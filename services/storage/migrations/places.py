"""The tables of one store as ``ztad store`` finds and moves them, while no ztad uses them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import asyncpg

from services.storage.errors import StoreError, told
from services.storage.migrations import on_postgres, on_sqlite
from services.storage.migrations.chain import (
    ALERTS,
    BASE,
    POSTGRES_ALERTS,
    POSTGRES_VERDICTS,
    VERDICTS,
    Chain,
)
from services.storage.opening import ALERTS_FILE_NAME, VERDICTS_FILE_NAME
from services.storage.postgres import errors, timescale
from services.storage.postgres.address import is_postgres, shown
from services.storage.postgres.database import CONNECT_S

T = TypeVar("T")

_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'ztad' AND pid <> pg_backend_pid()
"""


class Place(Protocol):
    """Where the tables of a chain are. Methods raise :class:`StoreError`."""

    where: str
    chain: Chain

    def current(self) -> str:
        """The revision they are at."""

    def move(self, to: str) -> str:
        """Bring them to a revision, as a whole or not at all; returns where they were."""


def places(where: str) -> dict[str, Place]:
    """What there is of verdicts and alerts in a folder or a PostgreSQL.

    Raises :class:`StoreError` where nothing is.
    """
    if is_postgres(where):
        return {
            "verdicts": PostgresPlace(where, POSTGRES_VERDICTS),
            "alerts": PostgresPlace(where, POSTGRES_ALERTS),
        }
    folder = Path(where)
    found: dict[str, Place] = {
        name: SqlitePlace(folder / file, chain)
        for name, file, chain in (
            ("verdicts", VERDICTS_FILE_NAME, VERDICTS),
            ("alerts", ALERTS_FILE_NAME, ALERTS),
        )
        if (folder / file).is_file()
    }
    if not found:
        mend = "name another folder with --store-dir, or a PostgreSQL with --database"
        raise StoreError(where, f"has neither {VERDICTS_FILE_NAME} nor {ALERTS_FILE_NAME}", mend)
    return found


class SqlitePlace:
    """One file."""

    def __init__(self, path: Path, chain: Chain) -> None:
        self.where = str(path)
        self.chain = chain
        self._path = path

    def current(self) -> str:
        with self._connected("ro") as connection:
            return self.chain.check(on_sqlite.current(connection), self.where)

    def move(self, to: str) -> str:
        with self._connected("rw") as connection:
            # Nobody else may have the file open, neither to write nor to read.
            connection.execute("PRAGMA locking_mode=EXCLUSIVE").close()
            return on_sqlite.move(connection, self.chain, to, self.where)

    @contextmanager
    def _connected(self, mode: str) -> Iterator[sqlite3.Connection]:
        name = f"{self._path.absolute().as_uri()}?mode={mode}"
        try:
            opened = sqlite3.connect(name, timeout=1.0, isolation_level=None, uri=True)
            with closing(opened) as connection:
                yield connection
        except sqlite3.Error as error:
            raise told(error, self._path) from None


class PostgresPlace:
    """Some tables of one database."""

    def __init__(self, address: str, chain: Chain) -> None:
        self.where = shown(address)
        self.chain = chain
        self._address = address

    def current(self) -> str:
        return self._asked(self._current)

    def move(self, to: str) -> str:
        return self._asked(lambda connection: self._move(connection, to))

    async def _current(self, connection: asyncpg.Connection) -> str:
        return self.chain.check(await on_postgres.current(connection, self.chain), self.where)

    async def _move(self, connection: asyncpg.Connection, to: str) -> str:
        if others := await connection.fetchval(_OTHERS):
            raise StoreError(self.where, f"is in use ({others} connections)", "stop ztad first")
        begin = await on_postgres.move(connection, self.chain, to, self.where)
        if begin == BASE != to and self.chain is POSTGRES_VERDICTS:
            await timescale.adopt(connection)
        return begin

    def _asked(self, ask: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async def talk() -> T:
            connection = await asyncpg.connect(self._address, timeout=CONNECT_S)
            try:
                async with connection.transaction():
                    return await ask(connection)
            finally:
                await connection.close(timeout=CONNECT_S)

        try:
            return asyncio.run(talk())
        except errors.ERRORS as error:
            raise errors.told(error, self.where) from None
