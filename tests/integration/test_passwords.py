"""Of the PostgreSQL of ``make backends`` one user has a password, so that it can be tested."""

import asyncio

import asyncpg
import pytest

from services.backends.postgres import PASSWORD, PASSWORD_USER


async def who(address: str, password: str) -> str:
    connection = await asyncpg.connect(address, password=password)
    try:
        return str(await connection.fetchval("SELECT current_user"))
    finally:
        await connection.close()


def test_the_server_asks_for_the_password(postgres: str) -> None:
    address = postgres.replace("ztad@", f"{PASSWORD_USER}@")
    assert asyncio.run(who(address, PASSWORD)) == PASSWORD_USER
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(who(address, "sesame"))
