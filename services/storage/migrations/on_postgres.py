"""Migrations of a PostgreSQL, on a connection of asyncpg."""

from __future__ import annotations

import asyncio
import logging

import asyncpg

from services.storage.migrations.chain import BASE, Chain

LOG = logging.getLogger("ztad.storage")

#: ``pg_advisory_xact_lock``: one process at a time; "ztad" as a number, to be told from others'.
LOCK = int.from_bytes(b"ztad", "big")
#: Not ``to_regclass``: that answers from a cache which waiting for the lock does not renew.
_STAMPED = "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"


async def current(connection: asyncpg.Connection, chain: Chain) -> str:
    """The revision that the tables of a chain are at."""
    if await connection.fetchval(_STAMPED, chain.table) is None:
        return BASE
    return str(await connection.fetchval(f"SELECT version_num FROM {chain.table}"))


async def upgrade(connection: asyncpg.Connection, chain: Chain, where: str) -> str:
    """Bring the tables to the newest revision and return where they were; those that are there are
    only read.

    Raises :class:`services.storage.errors.NewerSchema`, and what asyncpg raises, with the tables
    as they were.
    """
    found = chain.check(await current(connection, chain), where)
    return found if found == chain.head else await move(connection, chain, chain.head, where)


async def move(connection: asyncpg.Connection, chain: Chain, to: str, where: str) -> str:
    """Bring the tables to a revision, up or down, in one transaction.

    Returns where they were. Raises as :func:`upgrade`.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        begin = chain.check(await current(connection, chain), where)
        # Alembic is loaded by this; others on the event loop need not wait for it.
        script = await asyncio.to_thread(chain.script, begin, to)
        if begin != to:
            await connection.execute(script)
    if begin not in (BASE, to):
        LOG.info("%s: schema %s -> %s", where, begin, to)
    return begin
