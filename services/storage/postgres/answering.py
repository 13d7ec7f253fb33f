"""Whether a PostgreSQL answers, for ``ztad doctor``."""

from __future__ import annotations

import asyncio

import asyncpg

from services.storage.postgres import timescale
from services.storage.postgres.address import shown
from services.storage.postgres.database import CONNECT_S
from services.storage.postgres.errors import ERRORS, told

_MAY = "SELECT has_schema_privilege(current_schema(), 'CREATE')"


def found(address: str) -> str:
    """What answers there; raises :class:`services.storage.errors.StoreError`."""
    try:
        return asyncio.run(_found(address))
    except ERRORS as error:
        raise told(error, shown(address)) from None


async def _found(address: str) -> str:
    connection = await asyncpg.connect(address, timeout=CONNECT_S)
    try:
        version = await connection.fetchval("SHOW server_version")
        extension = await timescale.edition(connection)
        if not await connection.fetchval(_MAY):
            raise asyncpg.InsufficientPrivilegeError("no table may be made there")
    finally:
        await connection.close(timeout=CONNECT_S)
    beside = f", TimescaleDB ({extension} edition)" if extension else ""
    return f"PostgreSQL {version}{beside} at {shown(address)}"
