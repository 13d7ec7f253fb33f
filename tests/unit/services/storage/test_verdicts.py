"""services/storage/verdicts.py against a dictionary, whatever comes in whatever order."""

from __future__ import annotations

import asyncio
from contextlib import closing

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.storage.base import Limits, VerdictQuery
from services.storage.verdicts import SqliteStore
from tests.unit.services.storage.batches import batch, encoded, verdict

EVENT = st.tuples(
    st.sampled_from([f"e{number}" for number in range(12)]),
    st.sampled_from(["info", "info", "low", "critical"]),
    st.sampled_from(["ann", "bob"]),
)
BATCHES = st.lists(st.lists(EVENT, min_size=1, max_size=5), min_size=1, max_size=8)
ROOMY = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)


@given(BATCHES, st.integers(1, 3), st.integers(1, 4))
def test_the_store_keeps_what_a_dictionary_would(
    batches: list[list[tuple[str, str, str]]], together: int, page: int
) -> None:
    """First verdicts stay; nothing is lost, doubled or out of order in pages and in the stream."""
    recorded = [
        batch(*(verdict(name, severity, "", user_id=user) for name, severity, user in events))
        for events in batches
    ]
    first: dict[str, bytes] = {}
    for one in recorded:
        for event_id, data in zip(one.event_ids, one.verdicts, strict=True):
            first.setdefault(event_id, data)

    async def talk(store: SqliteStore) -> None:
        new = 0
        for start in range(0, len(recorded), together):
            new += await store.append(recorded[start : start + together], 1000.0)
        assert new == len(first)
        assert await store.first([f"e{number}" for number in range(12)]) == first
        flagged = [data for data in first.values() if b'"is_anomaly":true' in data]
        size = await store.size()
        assert (size.ordinary, size.flagged) == (len(first) - len(flagged), len(flagged))
        assert await streamed(store, page) == flagged
        for user in (None, "ann", "bob"):
            wanted = {
                data for data in first.values() if user is None or f'"{user}"'.encode() in data
            }
            found = await paged(store, user, page)
            assert (len(found), set(found)) == (len(wanted), wanted)

    with closing(SqliteStore(None, ROOMY)) as store:
        asyncio.run(talk(store))


async def streamed(store: SqliteStore, limit: int) -> list[bytes]:
    found, place = [], 0
    while (tail := await store.flagged(place, limit)).flagged:
        found += [each.verdict for each in tail.flagged]
        place = tail.place
    return found


async def paged(store: SqliteStore, user: str | None, limit: int) -> list[bytes]:
    query, found = VerdictQuery(user=user, limit=limit), []
    while True:
        page = await store.page(query)
        found += page.verdicts
        if page.after is None:
            return found
        query = msgspec.structs.replace(query, after=page.after)


def test_users_are_found_in_every_drawer() -> None:
    """The index of users has one drawer for 65,536 places, see ``schema``."""
    far = 3 * 65536

    async def talk(store: SqliteStore) -> None:
        await store.append([batch(verdict("old"), at_s=50.0)], 1000.0)
        await store._database.write(
            lambda to: to.execute("UPDATE marks SET value = ? WHERE name = 'place'", (far,))
        )
        await store.append([batch(verdict("new"), at_s=20.0)], 1000.0)
        expected = [encoded(verdict("old")), encoded(verdict("new"))]
        assert await paged(store, "ann", 1) == expected
        assert (await store.page(VerdictQuery(address="192.0.2.7"))).verdicts == expected

    with closing(SqliteStore(None, ROOMY)) as store:
        asyncio.run(talk(store))
