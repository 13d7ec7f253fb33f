"""``ztad store copy``: a PostgreSQL answers as the folder did, however often it was stopped."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from alerting.log import AlertQuery
from preprocessing.event import AuthEvent
from services.cli import main
from services.storage.base import AuditLine, Limits, VerdictQuery
from services.storage.migrations import on_postgres, on_sqlite
from services.storage.migrations.chain import (
    ALERTS,
    POSTGRES_ALERTS,
    POSTGRES_VERDICTS,
    VERDICTS,
)
from services.storage.opening import open_alert_log, open_store
from services.storage.postgres import copying
from services.storage.postgres.copying import Copy
from tests.unit.alerting.making import alert
from tests.unit.services.storage.batches import batch, evidence_of, verdict

LIMITS = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)
DAY_S = 86400.0
NOW_S = 20_000 * DAY_S
COLUMNS = """
    SELECT table_name::text, column_name::text FROM information_schema.columns
    WHERE table_schema = current_schema()
"""


def event(name: str) -> bytes:
    return msgspec.msgpack.encode(msgspec.convert(
        {"timestamp": "2026-11-02T09:00:00Z", "user_id": "ann", "outcome": "success",
         "event_id": name}, AuthEvent))  # fmt: skip


async def fill(folder: Path) -> None:
    """Three days of verdicts, some of them flagged, of an old and of a shadow version."""
    with closing(open_store(str(folder), LIMITS)) as store:
        for day in range(3):
            names = [f"e{day}-{n}" for n in range(3)]
            made = [verdict(names[0]), verdict(names[1], "high", "impossible_travel")]
            made.append(verdict(names[2], score=0.995))
            at_s = NOW_S + day * DAY_S
            given: dict[str, Any] = {"at_s": at_s, "evidence": {1: evidence_of(names[1])}}
            recorded = batch(*made, events=[event(name) for name in names], **given)
            await store.append([recorded], at_s + 1)
            shadow = batch(*made, at_s=at_s, version="v2", path="bundles/v2", shadow=True)
            await store.append([shadow], at_s + 2)
        await store.offered(2)
        await store.save_routing(b"{}", "kim", "first", NOW_S)
        await store.audit([AuditLine(f"line-{n}", NOW_S + n, b"{}") for n in range(3)])
        await store.say("e0-1", "compromised", "lee", "a\0b", NOW_S)
        await store.say("e1-1", "safe", "lee", "", NOW_S + 1)
    with closing(open_alert_log(str(folder))) as log:
        one = alert("e0-1")
        await log.join([one], [(one.alert_id, one.lead)])


async def answers(where: str) -> list[Any]:
    """What a store says to everything it can be asked."""
    with closing(open_store(where, LIMITS)) as store, closing(open_alert_log(where)) as log:
        (one,) = await log.alerts(AlertQuery())
        return [
            [await store.get(f"e{day}-{n}") for day in range(3) for n in range(3)],
            await store.page(VerdictQuery(limit=99)),
            await store.page(VerdictQuery(anomaly=True, reason="impossible_travel")),
            await store.flagged(0, 99),
            await store.unoffered(99),
            await store.compare("v2", 0.0),
            await store.opinions(limit=9),
            await store.routings(9),
            await store.audits(None, 9),
            await store.events(NOW_S, NOW_S + 9 * DAY_S, None, 99),
            one,
            await log.chain(one.alert_id, first=9, last=9),
        ]


def test_a_copy_answers_as_the_folder_does(tmp_path: Path, postgres: str) -> None:
    asyncio.run(fill(tmp_path))
    assert main(["store", "copy", "--from", str(tmp_path), "--to", postgres]) == 0
    assert asyncio.run(answers(postgres)) == asyncio.run(answers(str(tmp_path)))


def test_what_comes_next_is_numbered_after_it(tmp_path: Path, postgres: str) -> None:
    async def next_of(where: str) -> list[Any]:
        with closing(open_store(where, LIMITS)) as store:
            flagged = batch(verdict("next", "high", "impossible_travel"), at_s=NOW_S)
            await store.append([flagged], NOW_S + 4 * DAY_S)
            tail = await store.flagged(0, 99)
            return [tail.place, await store.save_routing(b"", "kim", "", NOW_S)]

    asyncio.run(fill(tmp_path))
    assert main(["store", "copy", "--from", str(tmp_path), "--to", postgres]) == 0
    assert asyncio.run(next_of(postgres)) == asyncio.run(next_of(str(tmp_path)))


class Stopped(Exception):
    """What goes wrong on the way."""


def test_a_copy_that_is_stopped_goes_on(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after every step there is, each time a little later."""
    monkeypatch.setattr(copying, "AT_ONCE", 2)
    asyncio.run(fill(tmp_path))
    copy, stops = Copy(tmp_path, postgres), 0
    total = copy.prepare()
    while True:
        done: list[int] = []

        def advance(lines: int, done: list[int] = done, most: int = stops) -> None:
            done.append(lines)
            if len(done) > most:
                raise Stopped

        try:
            asyncio.run(copy.run(advance))
            break
        except Stopped:
            stops += 1
    assert stops > 10
    assert sum(done) == total
    assert asyncio.run(copy.missing()) == []
    assert asyncio.run(answers(postgres)) == asyncio.run(answers(str(tmp_path)))


def test_what_is_not_there_is_told(tmp_path: Path, postgres: str) -> None:
    asyncio.run(fill(tmp_path))
    copy = Copy(tmp_path, postgres)
    copy.prepare()
    missing = asyncio.run(copy.missing())
    assert "verdicts: 0 of 9" in missing
    assert "feedback: 0 of 2" in missing


def test_only_an_empty_database_is_filled(
    tmp_path: Path, postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["store", "copy", "--from", str(tmp_path), "--to"]
    assert main([*command, postgres]) == 2
    assert "has no verdicts.db; name the folder of a store with --from" in capsys.readouterr().err
    asyncio.run(fill(tmp_path))
    assert main([*command, "folder"]) == 2
    assert "--to: expected postgresql://user@host:port/name" in capsys.readouterr().err
    assert main([*command, postgres]) == 0
    assert main([*command, postgres]) == 2
    assert "holds verdicts already; name an empty database" in capsys.readouterr().err


def test_a_folder_in_use_is_left_alone(
    tmp_path: Path, postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_store(str(tmp_path), LIMITS)):
        assert main(["store", "copy", "--from", str(tmp_path), "--to", postgres]) == 2
    assert "verdicts.db: is in use" in capsys.readouterr().err


def test_every_other_table_has_the_columns_it_has_in_files(postgres: str) -> None:
    """Else a table that is added to one kind of store alone would stop a copy, or be left out."""

    async def columns() -> dict[str, set[str]]:
        to = await asyncpg.connect(postgres)
        found: dict[str, set[str]] = {}
        for chain in (POSTGRES_VERDICTS, POSTGRES_ALERTS):
            await on_postgres.upgrade(to, chain, "x")
        for table, column in await to.fetch(COLUMNS):
            found.setdefault(table, set()).add(column)
        await to.close()
        return found

    there = asyncio.run(columns())
    for chain in (VERDICTS, ALERTS):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as source:
            on_sqlite.upgrade(source, chain, "x")
            for table in copying.alike(source):
                names = {row[1] for row in source.execute(f"PRAGMA table_info({table})")}
                assert there[table] == names
