"""services/storage/blocks.py: verdicts and events in blocks, those of zlib as well."""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from services.storage.base import Limits, VerdictQuery
from services.storage.blocks import MOST_IN_BLOCK, Blocks, blocks
from services.storage.errors import StoreError
from services.storage.migrations import on_sqlite
from services.storage.migrations.chain import VERDICTS
from services.storage.verdicts import SqliteStore
from tests.unit.services.storage.batches import batch, encoded, verdict

ROOMY = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)
DAY_S = 86400.0


def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE documents (place INTEGER PRIMARY KEY, first, block)")
    return connection


def test_what_is_put_into_blocks_is_found_by_its_place() -> None:
    things = {place: b"%d" % place for place in range(7, 7 + 4 * MOST_IN_BLOCK, 2)}
    with closing(table()) as connection:
        connection.executemany("INSERT INTO documents VALUES (?, ?, ?)", blocks(things))
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (2,)
        found = Blocks(connection, "documents")
        assert {place: found.get(place) for place in things} == things
        assert [found.get(place) for place in (6, 8, 5000)] == [None, None, None]


def test_blocks_from_before_there_was_zstd_are_read() -> None:
    with closing(table()) as connection:
        block = zlib.compress(msgspec.msgpack.encode({3: b"three", 4: b"four"}), 1)
        connection.execute("INSERT INTO documents VALUES (4, 3, ?)", (block,))
        assert Blocks(connection, "documents").get(3) == b"three"


def test_a_verdict_whose_block_is_gone_is_told(tmp_path: Path) -> None:
    async def talk(store: SqliteStore) -> None:
        await store.append([batch(verdict("a"))], 0.0)
        await store._database.write(lambda to: to.execute("DELETE FROM documents"))
        with pytest.raises(StoreError, match="verdict 1 is in no block"):
            await store.get("a")

    with closing(SqliteStore(tmp_path / "verdicts.db", ROOMY)) as store:
        asyncio.run(talk(store))


def test_blocks_go_with_the_last_verdict_in_them() -> None:
    async def talk(store: SqliteStore) -> None:
        await store.append([batch(*(verdict(name) for name in "abc"))], 0.0)
        await store.append([batch(verdict("d"))], 30 * DAY_S)
        assert await store.trim(30.5 * DAY_S, 2) == 2
        assert set(await store.first(list("abcd"))) == {"c", "d"}
        assert await store.trim(30.5 * DAY_S, 2) == 1
        assert await store._database.read(
            lambda of: of.execute("SELECT place FROM documents").fetchall()
        ) == [(4,)]

    with closing(SqliteStore(None, ROOMY)) as store:
        asyncio.run(talk(store))


def test_a_schema_without_blocks_has_what_it_can_read(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.db"
    bad = verdict("bad", "low", "late_hour")

    async def fill(store: SqliteStore) -> None:
        await store.append([batch(verdict("good", score=0.995), bad)], 0.0)

    async def look(store: SqliteStore) -> None:
        page = await store.page(VerdictQuery())
        assert page.verdicts == [encoded(bad)]
        size = await store.size()
        assert (size.ordinary, size.flagged) == (0, 1)

    with closing(SqliteStore(path, ROOMY)) as store:
        asyncio.run(fill(store))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        on_sqlite.move(connection, VERDICTS, "0004", str(path))
        for gone in ("events", "evidence WHERE place = 1"):
            assert connection.execute(f"SELECT count(*) FROM {gone}").fetchone() == (0,)
    with closing(SqliteStore(path, ROOMY)) as store:
        asyncio.run(look(store))
