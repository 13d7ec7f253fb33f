"""One SQLite file: a thread that writes, threads that read; opening it migrates it.

WAL: what a ``write`` committed survives ``kill -9`` of the process. A power cut never damages the
file (sqlite.org/wal.html); with ``synchronous=NORMAL`` it can take the last transactions, with
``FULL`` (``durable``), which forces each to the disk, it cannot.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from services.storage.errors import StoreError, told
from services.storage.migrations import on_sqlite
from services.storage.migrations.chain import Chain

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]
"""What is done within one transaction; runs in a thread of the database."""

#: A connection waits this long for another process's lock, seconds.
BUSY_S = 5.0
#: The log is carried over into the file once it has grown by this much, bytes: random pages of the
#: indexes are then written once instead of again and again.
CHECKPOINT_BYTES = 64 << 20
CACHE_BYTES = 32 << 20
PAGE_BYTES = 4096
READERS = 2
#: Longest time for one read, seconds.
READ_S = 5.0
#: Instructions of SQLite between two looks at the clock, about a millisecond.
_STEPS = 20_000


class Database:
    """Tables in one file, or in memory when ``path`` is None; one per event loop.

    ``chain`` leads to the schema it is brought to. Raises :class:`StoreError`, also from every
    method.
    """

    def __init__(self, path: Path | None, chain: Chain, *, durable: bool = False) -> None:
        self.path = path
        with self._telling():
            self._connection = _open(path)
        try:
            with self._telling():
                chain.check(on_sqlite.current(self._connection), str(path))
                _prepare(self._connection, "FULL" if durable else "NORMAL")
                on_sqlite.upgrade(self._connection, chain, str(path))
                readers = [_open_reader(path) for _ in range(READERS)] if path else []
        except BaseException:
            self._connection.close()
            raise
        self._writer = ThreadPoolExecutor(1, "ztad-store-write")
        self._readers = ThreadPoolExecutor(READERS, "ztad-store-read") if path else None
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for reader in readers:
            self._idle.put(reader)

    async def write(self, work: Work[T]) -> T:
        """What ``work`` returns, once everything it wrote is committed; nothing is if it raises.

        Runs after the writes that were asked for before. A caller that is cancelled meanwhile
        does not stop it.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, self._written, work)

    async def read(self, work: Work[T], *, within_s: float = READ_S) -> T:
        """What ``work`` returns, which sees one state of the file; beside a write, not behind it.

        Raises ``TooLong`` when it takes longer: few can read at a time. In memory there is one
        connection, and reads take their turn.
        """
        loop = asyncio.get_running_loop()
        if self._readers is None:
            return await loop.run_in_executor(self._writer, self._written, work)
        return await loop.run_in_executor(self._readers, self._read, work, within_s)

    def size_bytes(self) -> int:
        """What lies on the disk, the log included; 0 in memory."""
        if self.path is None:
            return 0
        files = (self.path.with_name(self.path.name + end) for end in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Let what is under way finish and let go of the file; nothing may be called after it."""
        self._writer.shutdown()
        if self._readers is not None:
            self._readers.shutdown()
        while not self._idle.empty():
            self._idle.get().close()
        self._connection.close()

    def _written(self, work: Work[T]) -> T:
        with self._telling():
            return _within(self._connection, "BEGIN IMMEDIATE", work)

    def _read(self, work: Work[T], within_s: float) -> T:
        connection = self._idle.get()
        until_s = time.monotonic() + within_s
        connection.set_progress_handler(lambda: time.monotonic() > until_s, _STEPS)
        try:
            with self._telling():
                return _within(connection, "BEGIN", work)
        finally:
            self._idle.put(connection)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise told(error, self.path) from error


def _within(connection: sqlite3.Connection, begin: str, work: Work[T]) -> T:
    connection.execute(begin)
    try:
        done = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise
    return done


def _open(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _connect(":memory:")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        mend = "let this user write there, or name another folder"
        raise StoreError(str(path.parent), f"cannot be made ({error})", mend) from None
    return _connect(str(path))


def _prepare(connection: sqlite3.Connection, synchronous: str) -> None:
    # The order matters: auto_vacuum is settled when the first page is written.
    for pragma in (
        f"page_size={PAGE_BYTES}",
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        f"cache_size=-{CACHE_BYTES >> 10}",
        f"wal_autocheckpoint={CHECKPOINT_BYTES // PAGE_BYTES}",
        f"journal_size_limit={2 * CHECKPOINT_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _open_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(f"{path.absolute().as_uri()}?mode=ro")
    connection.execute("PRAGMA query_only=ON")
    return connection


def _connect(name: str) -> sqlite3.Connection:
    # One thread at a time uses it, though not always the same one; transactions are begun by hand.
    return sqlite3.connect(
        name,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        uri=name.startswith("file:"),
    )
