"""Where measurements happen: the servers of ``make backends``, and a database for the occasion."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services.backends.__main__ import FOLDER, SERVERS
from services.backends.server import Say, Server, Unavailable
from services.bench.subject import BenchError


@contextmanager
def servers(names: Sequence[str], say: Say, folder: Path = FOLDER) -> Iterator[dict[str, Server]]:
    """Running servers; those that did not run before are ended again.

    Raises :class:`BenchError`.
    """
    with ExitStack() as ends:
        found: dict[str, Server] = {}
        for name in names:
            server = found[name] = SERVERS[name](folder, say)
            if server.running() is None:
                ends.callback(server.stop)
            try:
                server.start()
            except Unavailable as error:
                raise BenchError(f"{name} cannot be had: {error}") from None
        yield found


@contextmanager
def database(server: Server) -> Iterator[str]:
    """The address of an empty database, dropped afterwards."""
    name = f"bench_{secrets.token_hex(4)}"
    asyncio.run(_told(server.address, f"CREATE DATABASE {name}"))
    try:
        yield server.address.rpartition("/")[0] + "/" + name
    finally:
        asyncio.run(_told(server.address, f"DROP DATABASE {name} WITH (FORCE)"))


async def _told(address: str, sql: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(address)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
