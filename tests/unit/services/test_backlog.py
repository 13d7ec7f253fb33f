"""services/backlog.py: one order for all verdicts, whatever the store does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import backlog as backlogs
from services.backlog import Backlog
from services.recorder_metrics import RecorderMetrics
from services.storage import spool as spools
from services.storage.errors import StoreError
from services.storage.spool import Spool
from services.wire import Recorded
from tests.unit.services.stages import until
from tests.unit.services.storage.batches import batch, verdict

AWAY = StoreError("the database", "does not answer", "start it")


class Fragile:
    """A store that goes away and comes back; ``rows`` are its event ids, each once, in order."""

    def __init__(self) -> None:
        self.away = False
        self.hangs = False
        self.bad: set[str] = set()
        self.rows: list[str] = []
        self.asked = 0

    async def write(self, batches: Sequence[Recorded]) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise AWAY
        ids = [event_id for each in batches for event_id in each.event_ids]
        if not self.bad.isdisjoint(ids):
            raise ValueError("no verdict")
        self.rows += [event_id for event_id in dict.fromkeys(ids) if event_id not in self.rows]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "LEAST_PAUSE_S", 0.001)
    monkeypatch.setattr(backlogs, "MOST_PAUSE_S", 0.001)
    monkeypatch.setattr(backlogs, "SYNC_EVERY_S", 0.001)


@asynccontextmanager
async def running(
    store: Fragile, folder: Path, most_bytes: int = 1 << 20
) -> AsyncIterator[Backlog]:
    backlog = Backlog(Spool(folder, most_bytes, forced=False), store.write, lambda batches: None)
    tasks = [asyncio.create_task(work()) for work in (backlog.run, backlog.sync)]
    try:
        async with asyncio.timeout(30):
            yield backlog
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        backlog.close()


def one(name: str) -> list[Recorded]:
    return [batch(verdict(name))]


def test_verdicts_wait_for_a_store_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        store = Fragile()
        async with running(store, tmp_path) as backlog:
            await backlog.append(one("a"))
            store.away = True
            for name in "bcd":
                await backlog.append(one(name))
            assert backlog.away
            assert set(await backlog.find(["a", "c"])) == {"c"}
            assert store.rows == ["a"]
            store.away = False
            await until(lambda: len(store.rows) == 4)
            await until(lambda: not list(tmp_path.iterdir()))
            await backlog.append(one("e"))
            assert store.rows == list("abcde")
            assert not backlog.away
            assert await backlog.find(["c"]) == {}
            metrics = RecorderMetrics()
            backlog.tell(metrics)
            assert b"ztad_spool_drained_total 3.0" in metrics.render()

    asyncio.run(talk())
    assert len([line for line in caplog.messages if "is away" in line]) == 1


@given(
    plan=st.lists(st.sampled_from(["put", "again", "away", "back", "settle"]), max_size=30),
    segment=st.sampled_from([1, 3000, 1 << 20]),
)
def test_all_that_was_put_is_stored_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, plan: list[str], segment: int
) -> None:
    async def talk() -> None:
        store, names = Fragile(), list[str]()
        async with running(store, tmp_path_factory.mktemp("spool")) as backlog:
            for step in plan:
                if step == "put":
                    names.append(f"e{len(names)}")
                    await backlog.append(one(names[-1]))
                elif step == "again" and names:
                    await backlog.append(one(names[0]))
                elif step == "settle":
                    await asyncio.sleep(0)
                else:
                    store.away = step == "away"
            store.away = False
            await until(lambda: len(store.rows) == len(names))
            assert store.rows == names

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spools, "SEGMENT_BYTES", segment)
        asyncio.run(talk())


def test_a_store_that_hangs_counts_as_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "STORE_PATIENCE_S", 0.01)

    async def talk() -> None:
        store = Fragile()
        store.hangs = True
        async with running(store, tmp_path) as backlog:
            await backlog.append(one("a"))
            await backlog.append(one("b"))
            assert set(await backlog.find(["a", "b"])) == {"a", "b"}

    asyncio.run(talk())


def test_what_an_earlier_process_left_comes_first(tmp_path: Path) -> None:
    async def talk() -> None:
        left = Spool(tmp_path, 1 << 20, forced=False)
        left.append(one("a"))  # and was killed
        store = Fragile()
        async with running(store, tmp_path) as backlog:
            await backlog.append(one("b"))
            await until(lambda: store.rows == ["a", "b"])

    asyncio.run(talk())


def test_a_full_spool_refuses(tmp_path: Path) -> None:
    async def talk() -> None:
        store = Fragile()
        store.away = True
        async with running(store, tmp_path, most_bytes=1500) as backlog:
            await backlog.append(one("a"))
            with pytest.raises(StoreError, match="the spool is full"):
                await backlog.append(one("b") + one("c"))
            store.away = False
            await until(lambda: store.rows == ["a"])
            await backlog.append(one("b"))
            await until(lambda: store.rows == ["a", "b"])

    asyncio.run(talk())


def test_what_can_never_be_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever brings it is told; once it was confirmed, the log and a metric are."""

    async def talk() -> None:
        store = Fragile()
        store.bad = {"x"}
        async with running(store, tmp_path) as backlog:
            with pytest.raises(ValueError, match="no verdict"):
                await backlog.append(one("x"))
            store.away = True
            for name in "axb":
                await backlog.append(one(name))
            store.away = False
            await until(lambda: store.rows == ["a", "b"])
            assert backlog.damaged == 1

    asyncio.run(talk())
    assert "cannot be recorded" in caplog.text
