"""services/storage/events.py: blocks are not to be seen from outside."""

from __future__ import annotations

import asyncio
from contextlib import closing

from services.storage.base import Limits
from services.storage.blocks import MOST_IN_BLOCK
from services.storage.verdicts import SqliteStore
from tests.contracts.stores import all_events
from tests.unit.services.storage.batches import batch, event_of, verdict

ROOMY = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)
DAY_S = 86400.0


def test_every_event_is_found_whatever_block_it_is_in() -> None:
    """Every third is over the threshold, and what comes later happened in between."""
    many = range(MOST_IN_BLOCK * 2)
    first = [verdict(f"a{n}", "info" if n % 3 else "low", "late_hour") for n in many]
    other = [verdict(f"b{n}") for n in many]

    async def talk(store: SqliteStore) -> None:
        await store.append([batch(*first, at_s=1000.0)], 0.0)
        await store.append([batch(*other, at_s=1000.5)], 0.0)
        in_order = [f"{letter}{n}" for n in many for letter in "ab"]
        assert await all_events(store, 0.0, 9e9, 1500) == in_order
        for row in (0, 1, MOST_IN_BLOCK, len(many) - 1):
            kept = await store.get(f"a{row}")
            assert kept is not None
            assert kept.event == event_of(first[row], 1000.0 + row)

    with closing(SqliteStore(None, ROOMY)) as store:
        asyncio.run(talk(store))


def test_blocks_go_with_the_last_verdict_in_them() -> None:
    async def talk(store: SqliteStore) -> None:
        plain = [verdict(f"e{n}") for n in range(4)]
        await store.append([batch(*plain, verdict("bad", "low", "late_hour"))], 0.0)
        assert await store.trim(31 * DAY_S, 3) == 3
        left = await store.get("e3")
        assert left is not None
        assert left.event == event_of(plain[3], 1003.0)
        assert await store.trim(31 * DAY_S, 3) == 1
        assert await all_events(store, 0.0, 9e9, 10) == ["bad"]
        assert await store._database.read(lambda of: list(of.execute("SELECT * FROM events"))) == []

    with closing(SqliteStore(None, ROOMY)) as store:
        asyncio.run(talk(store))
