"""A month of verdicts in quantity, in a small one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from preprocessing.event import AuthEvent
from services.bench.archive import DAY_S, DAYS, Archive, Sample
from services.bench.queries import fill, measure, unlimited
from services.storage.verdicts import SqliteStore
from tests.unit.services.storage.batches import encoded, verdict

END_S = 1_700_000_000.0


def sample(user: str, address: str, severity: str = "info") -> Sample:
    event = AuthEvent(datetime(2026, 11, 2, 9, tzinfo=UTC), user, "success", "x", source_ip=address)
    told = encoded(verdict("x", severity, "new_country" if severity != "info" else ""))
    rest = b',"score":' + told.partition(b',"score":')[2]
    return Sample(event, rest, bytes(12), None, severity != "info")


@pytest.fixture
def archive() -> Archive:
    found = [sample("ann", "192.0.2.7"), sample("bob", "198.51.100.9", "high")]
    return Archive(found, "v1", 1200, END_S)


def test_every_event_is_there_once_within_the_month(archive: Archive) -> None:
    batches = list(archive.batches())
    ids = [each for batch, _ in batches for each in batch.event_ids]
    assert len(ids) == len(set(ids)) == 1200
    assert batches == list(archive.batches())


def test_what_is_written_together_is_of_one_day(archive: Archive) -> None:
    import numpy as np

    for batch, now_s in archive.batches():
        stamps = np.frombuffer(batch.stamps)
        assert END_S - DAYS * DAY_S <= stamps.min() <= stamps.max() == now_s < END_S
        assert len(set(stamps // DAY_S)) == 1


def test_verdict_and_event_are_of_the_same_person(archive: Archive) -> None:
    batch, _ = next(archive.batches())
    for row, event_id in enumerate(batch.event_ids):
        told = msgspec.json.decode(batch.verdicts[row])
        event = msgspec.msgpack.decode(batch.events[row], type=AuthEvent)
        assert (told["event_id"], told["user_id"]) == (event_id, event.user_id)
        assert (event.event_id, event.source_ip) == (event_id, batch.addresses[row])
        assert (row in batch.alerts) == told["is_anomaly"]


def test_what_is_asked_for_is_found(archive: Archive) -> None:
    async def asked() -> dict[str, int]:
        store = SqliteStore(None, unlimited())
        await fill(store, archive, lambda _: None)
        found = await measure(store, archive.asked(20))
        store.close()
        assert [each.asked for each in found] == [20] * 4
        return {each.what: each.most_rows for each in found}

    most = asyncio.run(asked())
    assert most["newest alerts"] == most["newest alerts before a moment"] == 50
    assert 100 < most["one user's month"] < 400
    assert 1 <= most["one address's day"] < 40
