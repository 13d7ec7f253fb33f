"""services/storage/migrations/ on SQLite: up, down, as a whole or not at all, nothing lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from alerting.log import AlertQuery
from services.storage.alert_log import SqliteAlertLog
from services.storage.base import Limits, VerdictQuery
from services.storage.errors import NewerSchema, UnknownRevision
from services.storage.migrations import on_sqlite
from services.storage.migrations.chain import ALERTS, BASE, VERDICTS, Chain
from services.storage.verdicts import SqliteStore
from tests.unit.services.storage.chains import chain_of

HERE = Path(__file__).parent
LIMITS = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)
WORDS = "CREATE TABLE words (word TEXT PRIMARY KEY)"

OURS = pytest.mark.parametrize("chain", [VERDICTS, ALERTS], ids=["verdicts", "alerts"])
STEPS = [
    pytest.param(chain, name, id=f"{chain.folder.name}-{name}")
    for chain in (VERDICTS, ALERTS)
    for name in chain.names
]


@contextmanager
def connected(path: Path | str = ":memory:") -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """All that makes up a schema, and the version it says it is."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
    return [*found, ("version", str(version))]


def old(path: Path, name: str) -> Path:
    """A file as the last ztad before Alembic left it."""
    with connected(path) as connection:
        connection.executescript((HERE / "before_alembic" / f"{name}.sql").read_text())
    return path


@OURS
def test_the_names_of_files_are_what_alembic_finds(chain: Chain) -> None:
    steps = chain.between(BASE, chain.head)
    assert (BASE, *(step.name for step in steps)) == chain.names
    assert all(step.summary for step in steps)


@pytest.mark.parametrize(("chain", "name"), STEPS)
def test_up_from_any_revision_is_up_from_nothing(chain: Chain, name: str) -> None:
    with connected() as straight, connected() as halfway:
        on_sqlite.upgrade(straight, chain, "straight")
        on_sqlite.move(halfway, chain, name, "halfway")
        on_sqlite.upgrade(halfway, chain, "halfway")
        assert tables(halfway) == tables(straight)


@pytest.mark.parametrize(("chain", "name"), STEPS)
def test_down_is_as_if_never_up(chain: Chain, name: str) -> None:
    with connected() as straight, connected() as back:
        on_sqlite.move(straight, chain, name, "straight")
        on_sqlite.upgrade(back, chain, "back")
        assert on_sqlite.move(back, chain, name, "back") == chain.head
        assert tables(back) == tables(straight)
        on_sqlite.upgrade(back, chain, "back")
        on_sqlite.upgrade(straight, chain, "straight")
        assert tables(back) == tables(straight)


def test_verdicts_of_an_earlier_ztad_are_all_there(tmp_path: Path) -> None:
    async def talk(store: SqliteStore) -> None:
        assert len((await store.page(VerdictQuery())).verdicts) == 2
        kept = await store.get("bad")
        assert kept is not None
        assert (kept.version, kept.recorded_s) == ("v1", 2000.0)
        assert kept.values is not None
        assert kept.evidence is not None
        assert [one.by for one in await store.opinions(limit=9)] == ["lee"]
        assert [one.document for one in await store.routings(9)] == [b'{"champion": "v1"}']
        assert (await store.compare("v2", 0.0)).neither == 1

    with closing(SqliteStore(old(tmp_path / "verdicts.db", "verdicts"), LIMITS)) as store:
        asyncio.run(talk(store))
    with connected(tmp_path / "verdicts.db") as plain:
        assert plain.execute("SELECT * FROM alembic_version").fetchall() == [(VERDICTS.head,)]


def test_alerts_of_an_earlier_ztad_are_all_there(tmp_path: Path) -> None:
    async def talk(log: SqliteAlertLog) -> None:
        (alert,) = await log.alerts(AlertQuery())
        assert len(await log.chain(alert.alert_id, first=9, last=9)) == 1
        assert [one.delivery_id for one in await log.deliveries(alert.alert_id)] == ["d1"]

    with closing(SqliteAlertLog(old(tmp_path / "alerts.db", "alerts"))) as log:
        asyncio.run(talk(log))


@pytest.mark.parametrize("name", ["verdicts", "alerts"])
def test_an_earlier_file_gets_the_schema_of_a_new_one(tmp_path: Path, name: str) -> None:
    chain = {"verdicts": VERDICTS, "alerts": ALERTS}[name]
    with connected(old(tmp_path / "old.db", name)) as earlier, connected() as new:
        on_sqlite.upgrade(earlier, chain, "earlier")
        on_sqlite.upgrade(new, chain, "new")
        assert shape(earlier) == shape(new)


def shape(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The schema but for how it is laid out on lines."""
    return [(name, "".join((sql or "").split())) for kind, name, sql, *_ in named(connection)]


def named(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY 2"
    return connection.execute(query).fetchall()


def test_a_change_keeps_what_is_stored(tmp_path: Path) -> None:
    kind = "ALTER TABLE words ADD COLUMN kind TEXT NOT NULL DEFAULT 'noun'"
    with connected() as connection:
        on_sqlite.upgrade(connection, chain_of(tmp_path, WORDS), "words")
        connection.execute("INSERT INTO words VALUES ('kept')")
        on_sqlite.upgrade(connection, chain_of(tmp_path, WORDS, kind), "words")
        assert connection.execute("SELECT * FROM words").fetchall() == [("kept", "noun")]
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    steps = (WORDS, "ALTER TABLE words ADD COLUMN a", "ALTER TABLE others ADD COLUMN b")
    with connected() as connection:
        on_sqlite.upgrade(connection, chain_of(tmp_path, WORDS), "words")
        before = tables(connection)
        with pytest.raises(sqlite3.OperationalError, match="no such table: others"):
            on_sqlite.upgrade(connection, chain_of(tmp_path, *steps), "words")
        assert tables(connection) == before


def test_two_that_open_a_file_at_once_change_it_once(tmp_path: Path) -> None:
    def opening(_: int) -> None:
        with connected(tmp_path / "alerts.db") as connection:
            on_sqlite.upgrade(connection, ALERTS, "alerts.db")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(opening, range(4)))
    with connected(tmp_path / "alerts.db") as connection, connected() as new:
        on_sqlite.upgrade(new, ALERTS, "new")
        assert tables(connection) == tables(new)


def test_a_file_that_is_up_to_date_is_opened_without_alembic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteAlertLog(tmp_path / "alerts.db").close()
    monkeypatch.setattr(Chain, "script", None)
    SqliteAlertLog(tmp_path / "alerts.db").close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    with connected() as connection:
        on_sqlite.upgrade(connection, chain_of(tmp_path, WORDS, "SELECT 1"), "words.db")
        (tmp_path / "r0002_step.py").unlink()
        before = tables(connection)
        expected = r"^words\.db: has schema 0002, this ztad knows 0001 at most; use the ztad that"
        with pytest.raises(NewerSchema, match=expected) as refused:
            on_sqlite.upgrade(connection, Chain(tmp_path, "sqlite"), "words.db")
        assert refused.value.lasting
        assert tables(connection) == before


def test_a_revision_is_named_as_people_write_it() -> None:
    assert VERDICTS.wanted("1") == VERDICTS.wanted("0001") == "0001"
    assert VERDICTS.wanted("head") == VERDICTS.head
    assert VERDICTS.wanted("base") == BASE
    with pytest.raises(UnknownRevision, match="revision 0099: there is no such one; name one of "):
        VERDICTS.wanted("0099")
