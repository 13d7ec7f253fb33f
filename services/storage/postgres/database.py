"""One PostgreSQL: a connection that writes, a few that read, in a thread with its own event loop.

Whoever asks is never kept from other work by packing or copying, and may ask from any event loop.
What a ``write`` committed is as durable as the server's ``synchronous_commit``: with the default
it is on the server's disk.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg

from services.storage.postgres.address import shown
from services.storage.postgres.errors import AWAY, ERRORS, lost, told

T = TypeVar("T")

Connection: TypeAlias = asyncpg.Connection
Work = Callable[[Connection], Awaitable[T]]
"""What is done within one transaction; runs on the event loop of the database."""

READERS = 4
#: Longest time for one read, seconds; the server ends it.
READ_S = 5.0
#: Longest time for one write, seconds: a server that takes longer is as good as away.
WRITE_S = 10.0
#: Longest time for what is done on a new connection, seconds: migrations can rewrite tables.
GREET_S = 600.0
CONNECT_S = 5.0
#: How long it may take after the server should have ended a read, seconds.
GRACE_S = 2.0
CLOSE_S = 10.0
SETTINGS = {
    "application_name": "ztad",
    "jit": "off",  # no query of ours runs long enough to gain from it
    "random_page_cost": "1.1",  # else many ids at once are looked for by reading every day whole
    "plan_cache_mode": "force_custom_plan",
    "timezone": "UTC",
}


class Database:
    """Talks to the server at ``address``; connects when it is first asked, and again by itself.

    ``greet`` runs on every new connection that writes, before anything else: it brings the tables
    up to date and forgets what was known of another server. Every method raises
    :class:`services.storage.errors.StoreError`, and ValueError for a text or number that a
    PostgreSQL cannot keep.
    """

    def __init__(self, address: str, greet: Work[None]) -> None:
        self.where = shown(address)
        self._address = address
        self._greet = greet
        self._writer: Connection | None = None
        self._greeted = False
        self._writing = asyncio.Lock()
        self._readers: asyncpg.Pool | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="ztad-postgres", daemon=True
        )
        self._thread.start()

    async def write(self, work: Work[T]) -> T:
        """What ``work`` returns, once everything it wrote is committed; nothing is if it raises.

        Runs after the writes that were asked for before. A caller that is cancelled meanwhile
        does not stop it. When the connection breaks at the end, it can have been committed all the
        same: whatever is asked again must do no harm.
        """
        return await asyncio.shield(self._asked(self._written(work)))

    async def read(self, work: Work[T], *, within_s: float = READ_S) -> T:
        """What ``work`` returns, which sees one state of the tables; beside a write, not behind it.

        Raises ``TooLong`` when one of its questions takes longer: few can read at a time.
        """
        return await self._asked(self._read(work, within_s))

    def close(self) -> None:
        """Let what is under way finish and let go of the server; nothing may be called after it."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _asked(self, talk: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(talk, self._loop))

    async def _written(self, work: Work[T]) -> T:
        async with self._writing:
            try:
                connection = await self._connected()
                with self._at_most(WRITE_S, connection):
                    async with connection.transaction():
                        return await work(connection)
            except ERRORS as error:
                if lost(error):
                    self._drop_writer()
                raise told(error, self.where) from error

    async def _read(self, work: Work[T], within_s: float) -> T:
        if not self._greeted:
            await self._written(_nothing)
        try:
            pool = await self._pool()
            async with pool.acquire(timeout=within_s) as connection:
                with self._at_most(within_s + GRACE_S, connection):
                    async with connection.transaction(isolation="repeatable_read", readonly=True):
                        if within_s != READ_S:
                            await connection.execute(f"SET LOCAL statement_timeout = '{within_s}s'")
                        return await work(connection)
        except ERRORS as error:
            raise told(error, self.where) from error

    async def _connected(self) -> Connection:
        if self._writer is None or self._writer.is_closed():
            self._drop_writer()
            self._writer = await asyncpg.connect(
                self._address, timeout=CONNECT_S, server_settings=SETTINGS
            )
            try:
                with self._at_most(GREET_S, self._writer):
                    async with self._writer.transaction():
                        await self._greet(self._writer)
            except BaseException:
                self._drop_writer()
                raise
            self._greeted = True
        return self._writer

    async def _pool(self) -> asyncpg.Pool:
        if self._readers is None:
            self._readers = asyncpg.create_pool(
                self._address,
                min_size=0,
                max_size=READERS,
                timeout=CONNECT_S,
                server_settings=SETTINGS | {"statement_timeout": f"{READ_S}s"},
            )
            await self._readers
        return self._readers

    @contextmanager
    def _at_most(self, seconds: float, connection: Connection) -> Iterator[None]:
        """A server that does not answer is left. Nothing gentler ends: what asyncpg sends to give
        a question up would have to be answered as well."""
        timer = self._loop.call_later(seconds, connection.terminate)
        try:
            yield
        finally:
            timer.cancel()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.terminate()
            self._writer = None

    async def _end(self) -> None:
        if under_way := asyncio.all_tasks() - {asyncio.current_task()}:
            _, late = await asyncio.wait(under_way, timeout=CLOSE_S)
            for task in late:
                task.cancel()
        try:
            async with asyncio.timeout(CLOSE_S), self._writing:
                if self._readers is not None:
                    await self._readers.close()
                if self._writer is not None:
                    await self._writer.close(timeout=CLOSE_S)
        except AWAY:
            if self._readers is not None:
                self._readers.terminate()
        self._drop_writer()
        await asyncio.sleep(0)  # a connection that was left is closed by the next step of the loop


async def _nothing(connection: Connection) -> None:
    """Only to be greeted."""
