"""Micro-batches: nobody waits without need, nobody is harmed by a neighbour, nothing gets stuck."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.coalescer import ANSWERS_A_TURN, Abandoned, Coalescer, Overloaded


class Scoring:
    """Batches that end when the test says so; each answer is the item, negated."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Future[None]] = []

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.batches.append(list(items))
        self.gates.append(gate)
        await gate
        return [-item for item in items]

    def finish(self, batch: int) -> None:
        self.gates[batch].set_result(None)


async def turns(count: int = 5) -> None:
    """Let everything that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_one_item_leaves_at_once() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring)
        one = asyncio.create_task(coalescer.submit(7))
        await turns()
        assert scoring.batches == [[7]]
        scoring.finish(0)
        assert await one == -7

    asyncio.run(run())


def test_items_that_come_together_leave_together() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring)
        tasks = [asyncio.create_task(coalescer.submit(item)) for item in range(5)]
        await turns()
        assert scoring.batches == [[0, 1, 2, 3, 4]]
        scoring.finish(0)
        assert await asyncio.gather(*tasks) == [0, -1, -2, -3, -4]

    asyncio.run(run())


def test_batches_grow_while_every_slot_is_busy() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=2, most_batch=4, most_beside=9)
        tasks = []
        for item in range(9):
            tasks.append(asyncio.create_task(coalescer.submit(item)))
            await turns()
        assert scoring.batches == [[0], [1]]
        assert coalescer.waiting == 7
        scoring.finish(1)
        await turns()
        assert scoring.batches[2:] == [[2, 3, 4, 5]]
        scoring.finish(0)
        await turns()
        assert scoring.batches[3:] == [[6, 7, 8]]
        scoring.finish(2)
        scoring.finish(3)
        assert await asyncio.gather(*tasks) == [-item for item in range(9)]

    asyncio.run(run())


def test_nothing_leaves_beside_a_large_batch() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=2, most_beside=3)
        tasks = [asyncio.create_task(coalescer.submit(item)) for item in range(2)]
        await turns()
        tasks += [asyncio.create_task(coalescer.submit(item)) for item in (2, 3)]
        await turns()
        assert scoring.batches == [[0, 1], [2, 3]], "the first batch was small"
        scoring.finish(0)
        await turns()
        tasks.append(asyncio.create_task(coalescer.submit(4)))
        await turns()
        assert scoring.batches[2:] == [[4]], "so is the one that is left"
        tasks += [asyncio.create_task(coalescer.submit(item)) for item in (5, 6)]
        scoring.finish(2)
        await turns()
        assert scoring.batches[3:] == [[5, 6]]
        tasks.append(asyncio.create_task(coalescer.submit(7)))
        scoring.finish(1)
        await turns()
        scoring.finish(3)
        await turns()
        assert coalescer.waiting == 0
        for gate in scoring.gates:
            if not gate.done():
                gate.set_result(None)
        assert await asyncio.gather(*tasks) == [-item for item in range(8)]

    asyncio.run(run())


def test_what_gathers_beside_a_large_batch_leaves_when_that_ends() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=2, most_beside=3)
        tasks = [asyncio.create_task(coalescer.submit(item)) for item in range(3)]
        await turns()
        tasks += [asyncio.create_task(coalescer.submit(item)) for item in (3, 4)]
        await turns()
        assert scoring.batches == [[0, 1, 2]]
        scoring.finish(0)
        await turns()
        assert scoring.batches[1:] == [[3, 4]]
        scoring.finish(1)
        assert await asyncio.gather(*tasks) == [-item for item in range(5)]

    asyncio.run(run())


def test_many_answers_are_given_a_few_a_turn() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring)
        tasks = [asyncio.create_task(coalescer.submit(item)) for item in range(3 * ANSWERS_A_TURN)]
        await turns()
        scoring.finish(0)
        answered = []
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            answered.append(sum(task.done() for task in tasks))
        assert {0, ANSWERS_A_TURN, 2 * ANSWERS_A_TURN, 3 * ANSWERS_A_TURN} >= set(answered)
        assert ANSWERS_A_TURN in answered

    asyncio.run(run())


def test_no_item_is_stuck_when_all_slots_end_at_once() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=2)
        first = asyncio.create_task(coalescer.submit(0))
        await turns()
        second = asyncio.create_task(coalescer.submit(1))
        await turns()
        scoring.finish(0)
        scoring.finish(1)
        # Submitted in every turn in which the slots may be closing.
        late = []
        for item in range(2, 12):
            late.append(asyncio.create_task(coalescer.submit(item)))
            await asyncio.sleep(0)
        while not all(task.done() for task in (first, second, *late)):
            for gate in scoring.gates:
                if not gate.done():
                    gate.set_result(None)
            await turns()
        assert [task.result() for task in late] == [-item for item in range(2, 12)]

    asyncio.run(asyncio.wait_for(run(), 30))


def test_who_leaves_before_the_batch_is_not_scored() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=1)
        tasks = [asyncio.create_task(coalescer.submit(0))]
        await turns()
        tasks += [asyncio.create_task(coalescer.submit(item)) for item in (1, 2, 3)]
        await turns()
        tasks[2].cancel()
        scoring.finish(0)
        await turns()
        assert scoring.batches == [[0], [1, 3]]
        scoring.finish(1)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [done[0], done[1], done[3]] == [0, -1, -3]
        assert isinstance(done[2], asyncio.CancelledError)

    asyncio.run(run())


def test_who_leaves_during_the_batch_harms_nobody() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring)
        tasks = [asyncio.create_task(coalescer.submit(item)) for item in range(3)]
        await turns()
        tasks[0].cancel()
        await turns()
        scoring.finish(0)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert done[1:] == [-1, -2]

    asyncio.run(run())


def test_everybody_leaves() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=1)
        tasks = [asyncio.create_task(coalescer.submit(item)) for item in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await turns()
        assert scoring.batches == []
        again = asyncio.create_task(coalescer.submit(9))
        await turns()
        scoring.finish(0)
        assert await again == -9

    asyncio.run(run())


class Broken(RuntimeError):
    """What a batch may fail with."""


@pytest.mark.parametrize(
    ("raised", "seen"), [(Broken(), Broken), (asyncio.CancelledError(), Abandoned)]
)
def test_a_failure_reaches_its_batch_and_no_other(
    raised: BaseException, seen: type[Exception]
) -> None:
    async def score(items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        if 0 in items:
            raise raised
        return items

    async def run() -> list[int | BaseException]:
        coalescer = Coalescer(score, slots=1, most_batch=2)
        return await asyncio.gather(
            *(coalescer.submit(item) for item in range(4)), return_exceptions=True
        )

    first, second, *rest = asyncio.run(run())
    assert isinstance(first, seen)
    assert isinstance(second, seen)
    assert rest == [2, 3]


def test_answers_that_do_not_fit_are_an_error_not_a_hang() -> None:
    async def score(items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    async def run() -> None:
        with pytest.raises(ValueError, match="shorter"):
            await Coalescer(score).submit(1)

    asyncio.run(run())


def test_overloaded() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=1, most_waiting=3)
        tasks = [asyncio.create_task(coalescer.submit(0))]
        await turns()
        tasks += [asyncio.create_task(coalescer.submit(item)) for item in (1, 2, 3)]
        await turns()
        with pytest.raises(Overloaded, match="3 events are waiting") as refused:
            await coalescer.submit(4)
        assert refused.value.retry_after_s == 1
        scoring.finish(0)
        await turns()
        scoring.finish(1)
        assert await asyncio.gather(*tasks) == [0, -1, -2, -3]

    asyncio.run(run())


def test_a_batch_runs_outside_its_callers_context() -> None:
    """Serve keeps a request's trace and cancellation in context variables."""
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    seen = []

    async def score(items: Sequence[int]) -> Sequence[int]:
        seen.append(whose.get())
        return items

    async def run() -> None:
        whose.set("a caller's")
        await Coalescer(score).submit(1)

    asyncio.run(run())
    assert seen == ["nobody's"]


@given(
    seed=st.integers(0, 2**32),
    slots=st.integers(1, 3),
    most_batch=st.integers(1, 7),
    callers=st.integers(1, 60),
)
def test_every_caller_is_answered(seed: int, slots: int, most_batch: int, callers: int) -> None:
    """Whatever the order of arrivals, departures and failures: the own answer, exactly once."""
    rng = random.Random(seed)
    scored: Counter[int] = Counter()
    running = 0

    async def pause() -> None:
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)

    async def score(items: Sequence[int]) -> Sequence[int]:
        nonlocal running
        running += 1
        assert running <= slots
        assert 1 <= len(items) <= most_batch
        scored.update(items)
        await pause()
        running -= 1
        if rng.random() < 0.1:
            raise Broken
        return [-item for item in items]

    async def call(coalescer: Coalescer[int, int], item: int) -> None:
        await pause()
        task = asyncio.create_task(coalescer.submit(item))
        if rng.random() < 0.2:
            await pause()
            task.cancel()
        try:
            assert await task == -item
        except (Broken, asyncio.CancelledError):
            return

    async def run() -> None:
        coalescer = Coalescer(score, slots=slots, most_batch=most_batch)
        await asyncio.gather(*(call(coalescer, item) for item in range(callers)))
        while running:
            await turns(1)
        assert coalescer.waiting == 0

    asyncio.run(asyncio.wait_for(run(), 60))
    assert set(scored.values()) <= {1}


def test_nobody_waits_longer_than_they_should_wherever_they_are() -> None:
    async def run() -> None:
        scoring = Scoring()
        coalescer = Coalescer(scoring, slots=1, patience_s=0.01)
        tasks = [asyncio.create_task(coalescer.submit(1))]
        await turns()
        tasks.append(asyncio.create_task(coalescer.submit(2)))
        refused = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert [type(each) for each in refused] == [Overloaded, Overloaded]
        scoring.finish(0)
        later = asyncio.create_task(coalescer.submit(3))
        await turns()
        assert scoring.batches == [[1], [3]], "the one that waited in vain is not scored"
        scoring.finish(1)
        assert await later == -3

    asyncio.run(run())
