"""services/storage/migrations/ on a PostgreSQL: up, down, one process at a time, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.storage.errors import NewerSchema
from services.storage.migrations import on_postgres
from services.storage.migrations.chain import BASE, POSTGRES_ALERTS, POSTGRES_VERDICTS, Chain
from tests.unit.services.storage.chains import chain_of

OURS = [POSTGRES_VERDICTS, POSTGRES_ALERTS]
STEPS = [
    pytest.param(chain, name, id=f"{chain.folder.name}-{name}")
    for chain in OURS
    for name in chain.names
]
TABLES = """
    SELECT table_name, column_name, data_type, is_nullable, collation_name
    FROM information_schema.columns WHERE table_schema = current_schema()
    ORDER BY table_name, ordinal_position
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1"


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(address)
    try:
        yield connection
    finally:
        await connection.close()


async def schema(connection: asyncpg.Connection) -> list[Any]:
    return [*await connection.fetch(TABLES), *await connection.fetch(INDEXES)]


@pytest.mark.parametrize(("chain", "name"), STEPS)
def test_up_from_any_revision_and_down_again(postgres: str, chain: Chain, name: str) -> None:
    async def talk() -> None:
        async with connected(postgres) as connection:
            await on_postgres.move(connection, chain, name, "x")
            before = await schema(connection)
            assert await on_postgres.upgrade(connection, chain, "x") == name
            newest = await schema(connection)
            assert await on_postgres.move(connection, chain, name, "x") == chain.head
            assert await schema(connection) == before
            await on_postgres.move(connection, chain, BASE, "x")
            assert await schema(connection) == []
            await on_postgres.upgrade(connection, chain, "x")
            assert await schema(connection) == newest
            assert await on_postgres.current(connection, chain) == chain.head

    asyncio.run(talk())


def test_of_several_that_start_one_makes_the_tables(postgres: str) -> None:
    async def opening() -> str:
        async with connected(postgres) as connection:
            return await on_postgres.upgrade(connection, POSTGRES_ALERTS, "x")

    async def talk() -> list[str]:
        return await asyncio.gather(*(opening() for _ in range(4)))

    assert sorted(asyncio.run(talk())) == [*[POSTGRES_ALERTS.head] * 3, BASE]


def test_a_change_is_made_as_a_whole_and_keeps_what_is_stored(
    postgres: str, tmp_path: Path
) -> None:
    words = "CREATE TABLE words (word text PRIMARY KEY)"
    kind = "ALTER TABLE words ADD COLUMN kind text NOT NULL DEFAULT 'noun'"

    async def talk() -> None:
        async with connected(postgres) as connection:
            await on_postgres.upgrade(
                connection, chain_of(tmp_path, words, dialect="postgresql"), "x"
            )
            await connection.execute("INSERT INTO words VALUES ('kept')")
            broken = chain_of(tmp_path, words, kind, "DROP TABLE others", dialect="postgresql")
            with pytest.raises(asyncpg.UndefinedTableError):
                await on_postgres.upgrade(connection, broken, "x")
            assert [tuple(row) for row in await connection.fetch("TABLE words")] == [("kept",)]
            (tmp_path / "r0003_step.py").unlink()
            await on_postgres.upgrade(connection, Chain(tmp_path, "postgresql"), "x")
            assert [tuple(row) for row in await connection.fetch("TABLE words")] == [
                ("kept", "noun")
            ]
            (tmp_path / "r0002_step.py").unlink()
            with pytest.raises(NewerSchema, match="x: has schema 0002, this ztad knows 0001"):
                await on_postgres.upgrade(connection, Chain(tmp_path, "postgresql"), "x")

    asyncio.run(talk())
