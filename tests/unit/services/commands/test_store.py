"""``ztad store``: where the tables are, the way up and down, and what is asked before data goes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from services.cli import main
from services.storage.base import Limits
from services.storage.migrations.chain import ALERTS, VERDICTS
from services.storage.opening import open_alert_log, open_store

LIMITS = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZTAD_HOME", str(tmp_path))
    monkeypatch.delenv("ZTAD_DATABASE", raising=False)
    return tmp_path


@pytest.fixture
def ztad(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``ztad store WORDS``; its exit code and what it says on both outputs."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["store", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def store(home: Path) -> Path:
    """The folder of ``ztad serve`` on its usual port, with a routing on record."""
    folder = home / "store" / "8000"
    with closing(open_store(str(folder), LIMITS)) as store:
        asyncio.run(store.save_routing(b"{}", "kim", "", 1.0))
    open_alert_log(str(folder)).close()
    return folder


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_each_part_is_told_with_its_revision(ztad: Run, store: Path) -> None:
    code, out, _ = ztad("current")
    assert code == 0
    assert out.splitlines() == [
        f"verdicts  {VERDICTS.head}  the newest  {store}/verdicts.db",
        f"alerts  {ALERTS.head}  the newest  {store}/alerts.db",
    ]
    code, out, _ = ztad("history", "--only", "verdicts")
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[1] for line in lines] == list(VERDICTS.names[1:])
    assert [line for line in lines if line.endswith("<- here")] == lines[-1:]


def test_what_would_be_lost_is_said_first(ztad: Run, store: Path) -> None:
    code, out, err = ztad("downgrade", "1", "--only", "verdicts")
    assert (code, out) == (2, "")
    assert "deletes for good: all feedback of analysts" in err
    assert "say --yes" in err
    assert version(store / "verdicts.db") == int(VERDICTS.head)


def test_down_and_up_again_keeps_what_the_lower_one_has(ztad: Run, store: Path) -> None:
    code, out, _ = ztad("downgrade", "1", "--only", "verdicts", "--yes")
    assert code == 0
    assert out.startswith(f"verdicts  {VERDICTS.head} -> 0001  ")
    assert version(store / "verdicts.db") == 1
    assert ztad("current")[1].startswith(f"verdicts  0001  the newest is {VERDICTS.head}  ")
    assert ztad("upgrade")[0] == 0
    with closing(open_store(str(store), LIMITS)) as again:
        assert [one.by for one in asyncio.run(again.routings(9))] == ["kim"]


def test_a_store_in_use_is_left_alone(ztad: Run, store: Path) -> None:
    with closing(open_store(str(store), LIMITS)):
        code, _, err = ztad("downgrade", "base", "--only", "verdicts", "--yes")
    assert code == 2
    assert "verdicts.db: is in use (database is locked); stop the other process" in err
    assert version(store / "verdicts.db") == int(VERDICTS.head)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("downgrade", "99", "--only", "alerts"), "revision 99: there is no such one; name one of"),
        (("downgrade", "1"), "revision 1: verdicts and alerts count on their own; add --only"),
        (("upgrade", "1", "--only", "verdicts"), "above 0001: ztad store downgrade leads there"),
        (("current", "--store-dir", "nowhere"), "nowhere: has neither verdicts.db nor alerts.db"),
        (("current", "--database", "mysql://x"), "--database: expected postgresql://"),
    ],
)
def test_what_cannot_be_done_is_told(
    ztad: Run, store: Path, words: tuple[str, ...], told: str
) -> None:
    code, out, err = ztad(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_downgrade_does_not_go_up(ztad: Run, store: Path) -> None:
    ztad("downgrade", "base", "--yes")
    code, _, err = ztad("downgrade", "1", "--only", "alerts")
    assert code == 2
    assert "alerts: at base, below 0001: ztad store upgrade leads there" in err


def test_a_newer_file_is_told(ztad: Run, store: Path) -> None:
    with closing(sqlite3.connect(store / "alerts.db")) as connection:
        connection.execute("PRAGMA user_version=99")
    code, _, err = ztad("current", "--only", "alerts")
    assert code == 2
    assert "alerts.db: has schema 0099, this ztad knows" in err


def test_a_postgres_goes_the_same_ways(ztad: Run, postgres: str) -> None:
    def asked(*words: str) -> tuple[int, str, str]:
        return ztad(*words, "--database", postgres)

    assert asked("upgrade")[0] == 0
    with closing(open_store(postgres, LIMITS)) as store:
        assert asyncio.run(store.save_routing(b"{}", "kim", "", 1.0)) == 1
        code, _, err = asked("downgrade", "base", "--yes")
        assert code == 2
        assert "is in use" in err
    assert asked("downgrade", "base")[0] == 2
    assert asked("downgrade", "base", "--yes")[0] == 0
    assert [line.split()[1] for line in asked("current")[1].splitlines()] == ["base", "base"]
