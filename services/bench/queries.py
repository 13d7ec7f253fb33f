"""How fast a PostgreSQL with a month of verdicts answers what an analyst asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec

from alerting.alert import SEVERITY_ORDER
from services.bench.archive import DAY_S, Archive, Asked
from services.bench.outcome import Latency, latency
from services.storage.base import Limits, Store, VerdictQuery

#: Rows of a page of alerts, and at most of everything that is asked for as a whole.
PAGE, MOST = 50, 1000
#: Longest an answer may take, ms (95th percentile).
GOAL_MS = 100.0
_TOLD_EVERY_S = 10.0

Say = Callable[[str], None]


class Question(msgspec.Struct, frozen=True):
    """How long answers of one kind took, and how many verdicts were in them."""

    what: str
    asked: int
    latency_ms: Latency
    mean_rows: float
    most_rows: int


class Queries(msgspec.Struct, frozen=True):
    """``bytes`` is what the database takes on the disk."""

    rows: int
    fill_s: float
    bytes: int
    questions: list[Question]


def unlimited() -> Limits:
    """Nothing goes while it is measured."""
    return Limits(most_bytes=1 << 50, most_days=1e6, most_alert_days=1e6, most_event_days=1e6)


async def fill(store: Store, archive: Archive, say: Say) -> float:
    """Write everything, the way the Recorder does; seconds it took."""
    started = told = time.monotonic()
    written = 0
    for batch, now_s in archive.batches():
        written += await store.append([batch], now_s)
        if time.monotonic() - told > _TOLD_EVERY_S:
            told = time.monotonic()
            say(f"{written:,} of {archive.rows:,} verdicts, {written / (told - started):,.0f}/s")
    return time.monotonic() - started


async def measure(store: Store, asked: Iterable[Asked]) -> list[Question]:
    """Every question for everybody in turn, so that no kind finds its pages warm from itself."""
    took: dict[str, list[float]] = {}
    rows: dict[str, list[int]] = {}
    for number, each in enumerate(asked):
        for what, query in questions(each, number).items():
            started = time.perf_counter()
            page = await store.page(query)
            took.setdefault(what, []).append(time.perf_counter() - started)
            rows.setdefault(what, []).append(len(page.verdicts))
    return [
        Question(what, len(times), latency(times), sum(rows[what]) / len(times), max(rows[what]))
        for what, times in took.items()
    ]


def questions(asked: Asked, number: int) -> dict[str, VerdictQuery]:
    """What is asked about somebody: the kinds of the table, alerts of every severity in turn."""
    least = SEVERITY_ORDER[1:][number % len(SEVERITY_ORDER[1:])]
    newest = VerdictQuery(anomaly=True, severity_at_least=least, limit=PAGE)
    day_s = asked.at_s - asked.at_s % DAY_S
    return {
        "newest alerts": newest,
        "newest alerts before a moment": msgspec.structs.replace(newest, until_s=asked.at_s),
        "one user's month": VerdictQuery(
            user=asked.user, since_s=asked.at_s - 30 * DAY_S, until_s=asked.at_s + DAY_S, limit=MOST
        ),
        "one address's day": VerdictQuery(
            address=asked.address, since_s=day_s, until_s=day_s + DAY_S, limit=MOST
        ),
    }


def run_queries(address: str, archive: Archive, asked: int, say: Say) -> Queries:
    """Fill the empty database at ``address``, then ask."""
    return asyncio.run(_run(address, archive, asked, say))


async def _run(address: str, archive: Archive, asked: int, say: Say) -> Queries:
    from services.storage.postgres.store import PostgresStore

    store = PostgresStore(address, unlimited())
    try:
        fill_s = await fill(store, archive, say)
        say(f"filled in {fill_s:,.0f} s; settling")
        size = await _settled(address)
        return Queries(archive.rows, fill_s, size, await measure(store, archive.asked(asked)))
    finally:
        store.close()


async def _settled(address: str) -> int:
    """What autovacuum does within minutes, done at once; bytes of the database."""
    import asyncpg

    connection = await asyncpg.connect(address)
    try:
        await connection.execute("VACUUM (ANALYZE)")
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()
