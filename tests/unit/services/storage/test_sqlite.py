"""services/storage/sqlite.py: transactions, readers beside a writer, clear errors."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.storage.errors import StoreError, TooLong
from services.storage.migrations.chain import Chain
from services.storage.sqlite import Database

TABLE = "CREATE TABLE words (word TEXT PRIMARY KEY) WITHOUT ROWID"
#: Of no revision: these tests are not about them.
NOTHING = Chain(Path("nowhere"), "sqlite")


@contextmanager
def opened(path: Path | None) -> Iterator[Database]:
    with closing(Database(path, NOTHING)) as database:
        asyncio.run(database.write(lambda connection: connection.execute(TABLE).close()))
        yield database


def adding(connection: sqlite3.Connection, word: str) -> None:
    connection.execute("INSERT INTO words VALUES (?)", (word,))


def words(connection: sqlite3.Connection) -> list[str]:
    return [word for (word,) in connection.execute("SELECT word FROM words ORDER BY word")]


@pytest.fixture(params=["file", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "words.db" if request.param == "file" else None


def test_what_is_written_is_read(path: Path | None) -> None:
    async def talk(database: Database) -> list[str]:
        await database.write(lambda connection: adding(connection, "one"))
        return await database.read(words)

    with opened(path) as database:
        assert asyncio.run(talk(database)) == ["one"]


def test_a_transaction_that_fails_leaves_nothing(path: Path | None) -> None:
    def failing(connection: sqlite3.Connection) -> None:
        adding(connection, "one")
        raise ValueError("on purpose")

    async def talk(database: Database) -> list[str]:
        with pytest.raises(ValueError, match="on purpose"):
            await database.write(failing)
        await database.write(lambda connection: adding(connection, "two"))
        return await database.read(words)

    with opened(path) as database:
        assert asyncio.run(talk(database)) == ["two"]


def test_reading_goes_on_while_a_write_is_under_way(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        adding(connection, "late")
        begun.set()
        assert go_on.wait(10)

    async def talk(database: Database) -> tuple[list[str], list[str]]:
        writing = asyncio.ensure_future(database.write(slow))
        await asyncio.to_thread(begun.wait)
        before = await database.read(words)
        go_on.set()
        await writing
        return before, await database.read(words)

    with opened(tmp_path / "words.db") as database:
        assert asyncio.run(talk(database)) == ([], ["late"])


def test_a_read_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    async def talk(database: Database) -> list[str]:
        for _ in range(3):
            with pytest.raises(TooLong, match="takes too long"):
                await database.read(lambda of: of.execute(endless).fetchone(), within_s=0.01)
        return await database.read(words)

    with opened(tmp_path / "words.db") as database:
        assert asyncio.run(talk(database)) == []


def test_a_damaged_file_is_told_with_its_mending(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    path.write_bytes(b"certainly no database" * 1000)
    with pytest.raises(StoreError, match=r"words\.db: is damaged .* move the file") as refused:
        Database(path, NOTHING)
    assert refused.value.lasting


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"file: cannot be made .* name another folder"):
        Database(tmp_path / "file" / "words.db", NOTHING)


def test_a_full_disk_is_told_and_over_once_there_is_space(tmp_path: Path) -> None:
    def bounded(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")

    def many(connection: sqlite3.Connection) -> None:
        for number in range(1000):
            adding(connection, f"{number} {'long ' * 20}")

    async def talk(database: Database) -> list[str]:
        await database.write(bounded)
        with pytest.raises(StoreError, match="no space left") as full:
            await database.write(many)
        assert not full.value.lasting
        await database.write(lambda connection: adding(connection, "short"))
        return await database.read(words)

    with opened(tmp_path / "words.db") as database:
        assert asyncio.run(talk(database)) == ["short"]
