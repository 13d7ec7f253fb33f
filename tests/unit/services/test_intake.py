"""services/intake.py: many calls, few transactions; nobody is told it is done before it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from services import intake as intakes
from services.intake import Intake
from services.storage.errors import StoreError
from services.wire import Recorded
from tests.unit.services.stages import until
from tests.unit.services.storage.batches import batch, verdict

FULL = StoreError("verdicts.db", "no space left on the disk", "free space")


def of(*names: str) -> list[Recorded]:
    """What one call brings."""
    return [batch(*(verdict(name) for name in names))]


class Written:
    """A store that writes when it may; ``plan`` are errors of the next transactions."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = 0
        self.plan: list[Exception] = []
        self.trims: list[int] = []
        self.removable = 0
        self.seconds: list[float] = []
        self.intake = Intake(self.append, self.trim, self.seconds.append)

    async def append(self, batches: Sequence[Recorded]) -> None:
        self.begun += 1
        await self.gate.wait()
        if self.plan:
            raise self.plan.pop(0)
        self.transactions.append([name for each in batches for name in each.event_ids])

    async def trim(self, most: int) -> int:
        self.trims.append(most)
        gone, self.removable = min(most, self.removable), max(0, self.removable - most)
        return gone


def run(talk: Callable[[Written], Awaitable[None]]) -> None:
    async def talking() -> None:
        written = Written()
        running = asyncio.create_task(written.intake.run())
        async with asyncio.timeout(30):
            await talk(written)
        assert not running.done()

    asyncio.run(talking())


def test_a_call_returns_once_it_is_written() -> None:
    async def talk(written: Written) -> None:
        written.gate.clear()
        call = asyncio.create_task(written.intake.take(of("a")))
        await until(lambda: written.begun == 1)
        assert not call.done()
        written.gate.set()
        assert await call is True
        assert written.transactions == [["a"]]
        assert len(written.seconds) == 1

    run(talk)


def test_what_arrives_meanwhile_goes_together() -> None:
    async def talk(written: Written) -> None:
        written.gate.clear()
        first = asyncio.create_task(written.intake.take(of("a")))
        await until(lambda: written.begun == 1)
        others = [asyncio.create_task(written.intake.take(of(name))) for name in "bcd"]
        await until(lambda: written.intake.waiting == 3)
        written.gate.set()
        assert await asyncio.gather(first, *others) == [True] * 4
        assert written.transactions == [["a"], ["b", "c", "d"]]

    run(talk)


def test_a_transaction_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "MOST_TOGETHER", 3)

    async def talk(written: Written) -> None:
        calls = (of("a", "b"), of("c"), of("d", "e", "f", "g"), of("h"))
        await asyncio.gather(*(written.intake.take(call) for call in calls))
        assert written.transactions == [["a", "b", "c"], ["d", "e", "f", "g"], ["h"]]

    run(talk)


def test_when_too_many_wait_the_next_call_waits_to_be_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intakes, "MOST_WAITING", 2)

    async def talk(written: Written) -> None:
        written.gate.clear()
        calls = [asyncio.create_task(written.intake.take(of(name))) for name in "abcd"]
        await until(lambda: written.intake.waiting == 2)
        await asyncio.sleep(0)
        assert written.intake.waiting == 2
        written.gate.set()
        assert await asyncio.gather(*calls) == [True] * 4
        assert sorted(name for each in written.transactions for name in each) == list("abcd")

    run(talk)


def test_what_cannot_be_stored_now_is_not_taken() -> None:
    async def talk(written: Written) -> None:
        written.plan = [FULL]
        assert await written.intake.take(of("a")) is False
        assert await written.intake.take(of("a")) is True
        assert written.transactions == [["a"]]

    run(talk)


def test_one_bad_call_does_not_keep_the_others() -> None:
    async def talk(written: Written) -> None:
        written.gate.clear()
        first = asyncio.create_task(written.intake.take(of("a")))
        await until(lambda: written.begun == 1)
        bad = asyncio.create_task(written.intake.take(of("b")))
        good = asyncio.create_task(written.intake.take(of("c")))
        await until(lambda: written.intake.waiting == 2)
        written.plan = [FULL, ValueError("one of them"), ValueError("b is none")]
        written.gate.set()
        assert await first is False
        with pytest.raises(ValueError, match="b is none"):
            await bad
        assert await good is True
        assert written.transactions == [["c"]]

    run(talk)


def test_a_caller_that_gave_up_is_not_written_for() -> None:
    async def talk(written: Written) -> None:
        written.gate.clear()
        first = asyncio.create_task(written.intake.take(of("a")))
        await until(lambda: written.begun == 1)
        gone = asyncio.create_task(written.intake.take(of("b")))
        await until(lambda: written.intake.waiting == 1)
        gone.cancel()
        last = asyncio.create_task(written.intake.take(of("c")))
        await until(lambda: written.intake.waiting == 2)
        written.gate.set()
        assert [await first, await last] == [True, True]
        assert written.transactions == [["a"], ["c"]]
        assert written.intake.waiting == 0

    run(talk)


def test_a_full_store_loses_more_than_arrives() -> None:
    async def talk(written: Written) -> None:
        written.removable = 9000
        names = [f"e{number}" for number in range(3000)]
        await written.intake.take(of(*names))
        await until(lambda: written.removable == 0 and len(written.trims) >= 5)
        assert written.trims[:5] == [6000, 1000, 1000, 1000, 1000]

    run(talk)


def test_old_verdicts_go_though_nothing_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "TRIM_EVERY_S", 0.001)

    async def talk(written: Written) -> None:
        await until(lambda: len(written.trims) >= 3)

    run(talk)
