"""``ztad replay`` and a PostgreSQL without a store: nothing is made there."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from services.commands.past import stored
from services.storage.errors import StoreError
from services.storage.migrations.chain import POSTGRES_VERDICTS
from services.storage.migrations.places import PostgresPlace


def tables(address: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(address)
        try:
            found = await connection.fetchval("SELECT count(*) FROM pg_stat_user_tables")
        finally:
            await connection.close()
        return int(found)

    return asyncio.run(count())


def test_a_database_without_a_store_is_not_given_one(postgres: str) -> None:
    with pytest.raises(StoreError, match="there is no store"), stored(postgres):
        pass
    assert tables(postgres) == 0


def test_an_older_schema_is_not_changed(postgres: str) -> None:
    place, older = PostgresPlace(postgres, POSTGRES_VERDICTS), POSTGRES_VERDICTS.names[-2]
    place.move(older)
    with (
        pytest.raises(StoreError, match=f"has schema {older}.*ztad store upgrade"),
        stored(postgres),
    ):
        pass
    assert place.current() == older
