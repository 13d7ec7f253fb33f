"""What ``PostgresStore`` promises beyond every other store, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import asyncpg
import numpy as np
import pytest

from services.recorder import Recorder, RecorderArgs
from services.storage.base import Limits, VerdictQuery
from services.storage.errors import StoreError, TooLong
from services.storage.migrations import on_postgres
from services.storage.migrations.chain import POSTGRES_VERDICTS
from services.storage.postgres import answering, timescale
from services.storage.postgres.store import PostgresStore
from tests.contracts.stores import all_events
from tests.unit.services.storage.batches import batch, encoded, verdict

T = TypeVar("T")
DAY_S = 86400.0
ROOMY = Limits(most_bytes=1 << 40, most_days=30, most_alert_days=365)
FLAGGED = verdict("bad", "high", "impossible_travel")


@pytest.fixture
def store(postgres: str) -> Iterator[PostgresStore]:
    made = PostgresStore(postgres, ROOMY)
    yield made
    made.close()


async def told(address: str, sql: str) -> Any:
    """What the server answers somebody else."""
    connection = await asyncpg.connect(address)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def of_server(address: str, sql: str) -> Any:
    """The same, from beside the database."""
    return await told(address.rpartition("/")[0] + "/postgres", sql)


def name_of(address: str) -> str:
    return address.rpartition("/")[2]


async def until(answer: Callable[[], Awaitable[T]]) -> T:
    """The first answer that is no refusal for now."""
    while True:
        try:
            return await answer()
        except StoreError as error:
            if error.lasting:
                raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("days", [0, 1, 29])
def test_an_event_is_kept_once_on_whatever_day_it_comes_again(
    store: PostgresStore, days: int
) -> None:
    again = batch(verdict("a"), verdict("b", score=0.99), FLAGGED)

    async def talk() -> None:
        assert await store.append([again], 0.0) == 3
        assert await store.append([batch(verdict("c"), at_s=DAY_S)], days * DAY_S) == 1
        assert await store.append([again], days * DAY_S) == 0
        other = batch(verdict("a", "high", "unusual_rate"), verdict("bad"), verdict("d"))
        assert await store.append([other], days * DAY_S) == 1
        assert (await store.size()).flagged == 1

    asyncio.run(talk())


def test_an_id_of_two_events_on_two_days_is_answered_with_the_first(store: PostgresStore) -> None:
    first, other = verdict("a"), verdict("a", "high", "unusual_rate")

    async def talk() -> None:
        await store.append([batch(first, at_s=1000.0)], 0.0)
        assert await store.append([batch(other, at_s=9 * DAY_S)], 9 * DAY_S) == 1
        assert await store.first(["a"]) == {"a": encoded(first)}
        kept = await store.get("a")
        assert kept is not None
        assert kept.verdict == encoded(first)

    asyncio.run(talk())


def test_what_is_flagged_is_known_after_its_day_was_dropped(store: PostgresStore) -> None:
    async def talk() -> None:
        await store.append([batch(verdict("a"), FLAGGED)], 0.0)
        assert await store.trim(40 * DAY_S, 1000) == 1
        assert await store.first(["a", "bad"]) == {"bad": encoded(FLAGGED)}
        again = batch(verdict("a"), verdict("bad"))
        assert await store.append([again], 40 * DAY_S) == 1
        size = await store.size()
        assert (size.ordinary, size.flagged) == (1, 1)

    asyncio.run(talk())


def test_when_space_runs_out_days_go_but_today_and_what_is_flagged(postgres: str) -> None:
    store = PostgresStore(postgres, Limits(most_bytes=1, most_days=30, most_alert_days=365))

    async def talk() -> None:
        for day in range(3):
            names = [f"e{day}{number}" for number in range(4)]
            await store.append([batch(*map(verdict, names))], day * DAY_S)
        await store.append([batch(FLAGGED)], 0.0)
        assert [await store.trim(2.5 * DAY_S, 1000) for _ in range(3)] == [4, 4, 0]
        page = await store.page(VerdictQuery())
        assert len(page.verdicts) == 5

    asyncio.run(talk())
    store.close()


def test_events_go_before_their_verdicts_by_the_day(postgres: str) -> None:
    store = PostgresStore(postgres, replace(ROOMY, most_event_days=7))

    async def talk() -> None:
        await store.append([batch(verdict("a"), verdict("b"), FLAGGED)], 0.0)
        await store.append([batch(verdict("c"), at_s=DAY_S)], DAY_S)
        assert await store.trim(7.9 * DAY_S, 1) == 0
        assert [await store.trim(8 * DAY_S, 1) for _ in range(2)] == [2, 0]
        assert await all_events(store, 0.0, 9e9, 10) == ["bad", "c"]
        assert len((await store.page(VerdictQuery())).verdicts) == 4
        kept = await store.get("a")
        assert kept is not None
        assert kept.event is None
        assert await store.append([batch(verdict("late"))], 0.0) == 1
        assert await all_events(store, 0.0, 2000.0, 10) == ["late", "bad"]

    asyncio.run(talk())
    store.close()


def test_days_of_an_earlier_ztad_take_events(postgres: str, store: PostgresStore) -> None:
    day = """INSERT INTO days VALUES ('1970-01-01', 0, 'infinity', '-infinity', 'infinity');
             CREATE TABLE verdicts_19700101 PARTITION OF verdicts
             FOR VALUES FROM ('1970-01-01') TO ('1970-01-02')"""

    async def talk() -> None:
        connection = await asyncpg.connect(postgres)
        await on_postgres.move(connection, POSTGRES_VERDICTS, "0001", postgres)
        await connection.execute(day)
        await connection.close()
        assert await store.append([batch(verdict("a"))], 0.0) == 1
        assert await all_events(store, 0.0, 9e9, 10) == ["a"]

    asyncio.run(talk())


@pytest.mark.parametrize("limit", [1, 7, 300, 5000])
def test_events_of_many_lines_in_order_of_time(store: PostgresStore, limit: int) -> None:
    """Calls whose times overlap, late events among them, some flagged: as if of one table."""
    kept = [
        verdict(f"e{n:04}", *(["low", "unusual_rate"] if n % 7 == 0 else [])) for n in range(900)
    ]
    when = {each.event_id: 5000.0 + 0.3 * (n * 37 % 900) for n, each in enumerate(kept)}
    when |= {"e0005": 10.0, "e0700": 10.0, "e0014": 3000.5}

    async def talk() -> None:
        for call in range(3):
            mine = kept[call::3]
            stamps = np.array([when[each.event_id] for each in mine])
            events = [each.event_id.encode() for each in mine]
            came = replace(batch(*mine), stamps=stamps.tobytes(), events=events)
            await store.append([came], 0.0)
        expected = sorted(when, key=lambda each: (when[each], int(each[1:]) % 3, each))
        after, found = None, []
        while True:
            page = await store.events(10.0, 5250.0, after, limit)
            found += [each.decode() for each in page.events]
            after = page.after
            if after is None:
                break
        assert found == [each for each in expected if when[each] < 5250.0]
        got = await store.get("e0005")
        assert got is not None
        assert got.event == b"e0005"

    asyncio.run(talk())


def test_days_are_made_ahead_and_dropped(store: PostgresStore, postgres: str) -> None:
    tables = """SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY 1) FROM pg_inherits
                WHERE inhparent = 'verdicts'::regclass"""

    async def talk() -> None:
        await store.append([batch(verdict("a"))], 1_800_000_000.0)
        first = "verdicts_20270115 verdicts_20270116 verdicts_20270117"
        assert await told(postgres, tables) == first
        await store.append([batch(verdict("b"))], 1_800_000_000.0 + 2 * DAY_S)
        assert await told(postgres, tables) == f"{first} verdicts_20270118 verdicts_20270119"
        assert await store.trim(1_800_000_000.0 + 32 * DAY_S, 10) == 1
        assert (
            await told(postgres, tables) == "verdicts_20270117 verdicts_20270118 verdicts_20270119"
        )

    asyncio.run(talk())


def test_a_day_that_is_read_is_dropped_later(store: PostgresStore, postgres: str) -> None:
    async def talk() -> None:
        await store.append([batch(verdict("a"))], 0.0)
        reader = await asyncpg.connect(postgres)
        async with reader.transaction():
            await reader.fetch("SELECT * FROM verdicts")
            assert await store.trim(40 * DAY_S, 10) == 0
        assert await store.trim(40 * DAY_S, 10) == 1
        await reader.close()

    asyncio.run(talk())


def test_a_connection_that_broke_is_made_again(store: PostgresStore, postgres: str) -> None:
    kill = f"""SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = '{name_of(postgres)}'"""

    async def talk() -> None:
        await store.append([batch(verdict("a"))], 0.0)
        assert await store.first(["a"])
        assert await of_server(postgres, kill) == 2
        assert await until(lambda: store.append([batch(verdict("a"), verdict("b"))], 0.0)) == 1
        assert len(await until(lambda: store.first(["a", "b"]))) == 2

    asyncio.run(talk())


def test_a_recorder_begins_without_its_database_and_goes_on_when_it_is_there(
    postgres: str,
) -> None:
    late = f"{postgres}_late"
    recorder = Recorder(RecorderArgs(database=late))

    async def talk() -> None:
        try:
            assert not await recorder.record([batch(verdict("a"))])
            with pytest.raises(StoreError, match="has no such database"):
                await recorder.get("a")
            await of_server(postgres, f"CREATE DATABASE {name_of(late)}")
            assert await recorder.record([batch(verdict("a"))])
            assert await recorder.first(["a"]) == {"a": encoded(verdict("a"))}
        finally:
            recorder.close()
            await of_server(postgres, f"DROP DATABASE IF EXISTS {name_of(late)} WITH (FORCE)")

    asyncio.run(talk())


def test_two_that_write_at_once_keep_an_event_once(postgres: str) -> None:
    stores = [PostgresStore(postgres, ROOMY) for _ in range(2)]
    batches = [batch(*(verdict(f"e{number}-{n}") for n in range(50))) for number in range(20)]

    async def talk() -> None:
        new = await asyncio.gather(
            *(store.append([each], 0.0) for each in batches for store in stores)
        )
        assert sum(new) == 1000
        assert (await stores[0].size()).ordinary == 1000

    asyncio.run(talk())
    for store in stores:
        store.close()


def test_what_cannot_be_kept_is_refused_for_good_and_the_store_is_well(
    store: PostgresStore,
) -> None:
    async def talk() -> None:
        with pytest.raises(ValueError, match="0x00"):
            await store.append([batch(verdict("a"), address="a\0")], 0.0)
        assert await store.append([batch(verdict("a"))], 0.0) == 1

    asyncio.run(talk())


def test_what_no_text_can_hold_is_found_nowhere(store: PostgresStore) -> None:
    async def talk() -> None:
        assert await store.get("\0") is None
        assert await store.first(["\0"]) == {}
        assert (await store.page(VerdictQuery(user="\0"))).verdicts == []
        assert await store.opinions(user="\0", limit=1) == []
        assert await store.say("\0", "safe", "kim", "", 0.0) is None

    asyncio.run(talk())


def test_a_question_that_takes_too_long_is_given_up(store: PostgresStore) -> None:
    async def talk() -> None:
        with pytest.raises(TooLong):
            await store._database.read(lambda of: of.execute("SELECT pg_sleep(60)"), within_s=0.05)
        assert await store.get("a") is None

    asyncio.run(talk())


def test_the_doctor_finds_what_answers(postgres: str) -> None:
    assert answering.found(postgres).startswith("PostgreSQL ")
    with pytest.raises(StoreError, match="has no such database"):
        answering.found(f"{postgres}_gone")


def test_a_server_without_timescaledb_keeps_partitions(postgres: str) -> None:
    async def talk() -> None:
        connection = await asyncpg.connect(postgres)
        assert timescale.instead(await timescale.edition(connection)) == []
        await connection.close()

    asyncio.run(talk())
