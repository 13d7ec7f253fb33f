"""Verdicts on their way to the Recorder: bounded, never lost without being counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import recording
from services.recording import NotConfirmed, RecordQueue, Unrecordable, confirmed
from services.wire import Recorded
from tests.unit.services.stages import Died, Stage, until


def batch(*ids: str, alerts: str = "", shadow: bool = False, columns: int = 1) -> Recorded:
    """A batch of these ids; ``alerts`` are those that are flagged."""
    values = b"".join(name.encode().ljust(4 * columns) for name in ids)
    verdicts = [f"verdict {name}".encode() for name in ids]
    return Recorded(
        event_ids=list(ids),
        verdicts=verdicts,
        columns=columns,
        values=values,
        stamps=bytes(8 * len(ids)),
        addresses=[""] * len(ids),
        evidence={row: b"evidence" for row, name in enumerate(ids) if name in alerts},
        alerts=[row for row, name in enumerate(ids) if name in alerts],
        shadow=shadow,
        version="v1",
        path="bundles/v1",
    )


def taking(*, taken: bool = True) -> Stage:
    return Stage(lambda batches: taken)


def calls(stage: Stage) -> list[list[str]]:
    """The event ids of each call."""
    return [
        [event_id for recorded in batches for event_id in recorded.event_ids]
        for (batches,) in stage.calls
    ]


def sent(stage: Stage) -> list[str]:
    return [event_id for ids in calls(stage) for event_id in ids]


async def ran(queue: RecordQueue, stage: Stage, times: int) -> None:
    """Run the queue until the stage was called that often."""
    running = asyncio.create_task(queue.run((Died, TimeoutError)))
    await until(lambda: len(stage.calls) >= times and not queue.find(sent(stage)))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_everything_is_sent_in_order_in_one_call() -> None:
    stage = taking()
    queue = RecordQueue(stage, interval_s=0)
    queue.put(batch("a", "b"))
    queue.put(batch())
    queue.put(batch("s", shadow=True))
    queue.put(batch("c"))
    asyncio.run(ran(queue, stage, 1))
    assert calls(stage) == [["a", "b", "c", "s"]]


def test_a_call_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_IN_CALL", 3)
    stage = taking()
    queue = RecordQueue(stage, interval_s=0)
    for ids in (("a", "b"), ("c",), ("d", "e", "f", "g"), ("h",)):
        queue.put(batch(*ids))
    asyncio.run(ran(queue, stage, 3))
    assert calls(stage) == [["a", "b", "c"], ["d", "e", "f", "g"], ["h"]]


def test_what_waits_can_be_found() -> None:
    queue = RecordQueue(taking())
    queue.put(batch("a", "b"))
    queue.put(batch("b", "c", alerts="c"))
    assert queue.find(["b", "c", "x"]) == {"b": b"verdict b", "c": b"verdict c"}
    assert queue.find([]) == {}
    kept = queue.get("c")
    assert kept is not None
    assert (kept.verdict, kept.values, kept.evidence) == (b"verdict c", b"c   ", b"evidence")
    assert (kept.version, kept.path) == ("v1", "bundles/v1")
    assert queue.get("x") is None


def test_what_a_shadow_says_is_nobodys_first_verdict() -> None:
    queue = RecordQueue(taking())
    queue.put(batch("a", shadow=True))
    assert queue.find(["a"]) == {}
    assert queue.get("a") is None


def test_what_is_being_sent_can_be_found() -> None:
    async def talk() -> None:
        gate = asyncio.Event()
        stage = taking()
        stage.plan = [gate]
        queue = RecordQueue(stage, interval_s=0)
        queue.put(batch("a"))
        queue.put(batch("b", shadow=True))
        running = asyncio.create_task(queue.run((Died,)))
        await until(lambda: bool(stage.calls))
        assert queue.find(["a", "b"]) == {"a": b"verdict a"}
        gate.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(talk())


def test_a_full_queue_says_so_once_and_keeps_everything(caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> None:
        stage = taking()
        queue = RecordQueue(stage, most_events=4, interval_s=0)
        for ids in (("a", "b"), ("c", "d"), ("e", "f")):
            queue.put(batch(*ids))
        assert queue.full
        assert queue.dropped == 0
        assert set(queue.find(list("abcdef"))) == set("abcdef")
        await ran(queue, stage, 1)
        assert sent(stage) == list("abcdef")
        assert not queue.full
        await queue.room()

    asyncio.run(talk())
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]


def test_a_queue_is_full_by_bytes_too() -> None:
    queue = RecordQueue(taking(), most_bytes=1000)
    queue.put(batch("a", columns=100))
    assert not queue.full
    queue.put(batch("b", columns=200))
    assert queue.full


def test_a_full_queue_opens_again_when_a_quarter_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_IN_CALL", 1)

    async def talk() -> list[bool]:
        full: list[bool] = []

        def take(batches: list[Recorded]) -> bool:
            full.append(queue.full)
            return True

        queue = RecordQueue(Stage(take), most_events=8, interval_s=0)
        for name in "abcdefgh":
            queue.put(batch(name))
        running = asyncio.create_task(queue.run((Died,)))
        await queue.recorded()
        running.cancel()
        return full

    assert asyncio.run(talk()) == [True, True, False, False, False, False, False, False]


def test_what_a_shadow_said_is_given_up_for_what_was_answered() -> None:
    async def talk() -> None:
        queue = RecordQueue(taking(), most_events=5)
        shadow = queue.put(batch("s", "t", shadow=True))
        queue.put(batch("a", "b", "c"))
        assert (queue.dropped, queue.full) == (0, True)
        queue.put(batch("d"))
        assert (queue.dropped, queue.full) == (2, True)
        assert await shadow is False
        queue.put(batch("u", "v", shadow=True))
        assert queue.dropped == 4
        assert set(queue.find(list("abcd"))) == set("abcd")

    asyncio.run(talk())


def test_a_receipt_says_when_its_batch_is_on_record() -> None:
    async def talk() -> None:
        gate = asyncio.Event()
        stage = taking()
        stage.plan = [gate]
        queue = RecordQueue(stage, interval_s=60)
        first = queue.put(batch("a"), hurry=True)
        running = asyncio.create_task(queue.run((Died,)))
        await until(lambda: bool(stage.calls))
        with pytest.raises(NotConfirmed, match="not confirmed"):
            await confirmed([first], within_s=0.001)
        second = queue.put(batch("b"), hurry=True)
        assert queue.receipts(["b", "x"]) == [second]
        assert queue.receipts([]) == []
        gate.set()
        await confirmed([first, second, queue.put(batch())])
        assert calls(stage) == [["a"], ["b"]]
        running.cancel()

    asyncio.run(talk())


def test_a_receipt_of_what_can_never_be_recorded() -> None:
    async def talk() -> None:
        stage = taking()
        stage.plan = [ValueError("one of them"), ValueError("this one")]
        queue = RecordQueue(stage, interval_s=0)
        bad, good = queue.put(batch("a")), queue.put(batch("b"))
        running = asyncio.create_task(queue.run((Died,)))
        await confirmed([good])
        with pytest.raises(Unrecordable):
            await confirmed([bad])
        running.cancel()

    asyncio.run(talk())


@given(
    st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 20),
)
def test_what_is_put_is_sent_or_counted(sizes: list[tuple[int, bool, bool]], most: int) -> None:
    stage = taking()
    queue = RecordQueue(stage, most_events=most, interval_s=0)
    names = iter(range(1000))
    for size, flagged, shadow in sizes:
        ids = [f"{next(names):03}" for _ in range(size)]
        one = batch(*ids, shadow=shadow)
        queue.put(replace(one, alerts=[0]) if flagged else one)
    queue.put(batch("last"))
    asyncio.run(ran(queue, stage, 1))
    assert len(sent(stage)) + queue.dropped == 1 + sum(size for size, *_ in sizes)
    assert len(set(sent(stage))) == len(sent(stage))


@pytest.mark.parametrize("refusal", ["died", "not taken"])
def test_what_is_not_taken_is_sent_again_before_what_came_later(refusal: str) -> None:
    async def talk() -> None:
        answers = iter([False])
        stage = taking() if refusal == "died" else Stage(lambda batches: next(answers, True))
        stage.plan = [Died()] if refusal == "died" else []
        queue = RecordQueue(stage, interval_s=0)
        queue.put(batch("a"))
        queue.put(batch("b"))
        await ran(queue, stage, 2)
        assert calls(stage) == [["a", "b"], ["a", "b"]]
        assert queue.dropped == 0

    asyncio.run(talk())


def test_what_can_never_be_sent_is_counted_and_holds_up_nobody() -> None:
    stage = taking()
    stage.plan = [ValueError("one of them"), ValueError("this one")]
    queue = RecordQueue(stage, interval_s=0)
    queue.put(batch("a", "b"))
    queue.put(batch("c"))
    asyncio.run(ran(queue, stage, 3))
    assert calls(stage) == [["a", "b", "c"], ["a", "b"], ["c"]]
    assert queue.dropped == 2
