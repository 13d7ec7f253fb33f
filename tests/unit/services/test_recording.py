"""Verdicts on their way to the Recorder: bounded, never lost without being counted."""

from __future__ import annotations

import asyncio

import pytest

from services.recording import RecordQueue
from services.wire import Recorded
from tests.unit.services.stages import Died, Stage, until


def batch(*ids: str, columns: int = 1) -> Recorded:
    values = b"".join(name.encode().ljust(4 * columns) for name in ids)
    verdicts = [f"verdict {name}".encode() for name in ids]
    stamps, addresses = bytes(8 * len(ids)), [""] * len(ids)
    return Recorded(list(ids), verdicts, columns, values, stamps, addresses, {}, [])


def sent(stage: Stage) -> list[str]:
    return [event_id for (recorded,) in stage.calls for event_id in recorded.event_ids]


async def ran(queue: RecordQueue, stage: Stage, calls: int) -> None:
    """Run the queue until the stage was called that often."""
    running = asyncio.create_task(queue.run((Died, TimeoutError)))
    await until(lambda: len(stage.calls) >= calls and not queue.find(sent(stage)))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_everything_is_sent_in_order() -> None:
    stage = Stage(lambda recorded: None)
    queue = RecordQueue(stage, interval_s=0)
    queue.put(batch("a", "b"))
    queue.put(batch())
    queue.put(batch("c"))
    asyncio.run(ran(queue, stage, 2))
    assert sent(stage) == ["a", "b", "c"]


def test_what_waits_can_be_found() -> None:
    queue = RecordQueue(Stage(lambda recorded: None))
    queue.put(batch("a", "b"))
    queue.put(batch("b", "c"))
    assert queue.find(["b", "c", "x"]) == {"b": b"verdict b", "c": b"verdict c"}
    assert queue.find([]) == {}
    assert queue.get("c") == (b"verdict c", b"c   ")
    assert queue.get("x") is None


def test_what_is_being_sent_can_be_found() -> None:
    async def talk() -> None:
        gate = asyncio.Event()
        stage = Stage(lambda recorded: None)
        stage.plan = [gate]
        queue = RecordQueue(stage, interval_s=0)
        queue.put(batch("a"))
        running = asyncio.create_task(queue.run((Died,)))
        await until(lambda: bool(stage.calls))
        assert queue.find(["a"]) == {"a": b"verdict a"}
        gate.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(talk())


def test_the_oldest_is_given_up_beyond_the_bound() -> None:
    queue = RecordQueue(Stage(lambda recorded: None), most_events=4)
    for ids in (("a", "b"), ("c", "d"), ("e",)):
        queue.put(batch(*ids))
    assert queue.dropped == 2
    assert set(queue.find(list("abcde"))) == {"c", "d", "e"}


def test_one_batch_larger_than_the_bound_is_kept() -> None:
    queue = RecordQueue(Stage(lambda recorded: None), most_events=1)
    queue.put(batch("a", "b", "c"))
    assert queue.dropped == 0


def test_what_cannot_be_sent_is_sent_again_before_what_came_later() -> None:
    stage = Stage(lambda recorded: None)
    stage.plan = [Died()]
    queue = RecordQueue(stage, interval_s=0)
    queue.put(batch("a"))
    queue.put(batch("b"))
    asyncio.run(ran(queue, stage, 3))
    assert sent(stage) == ["a", "a", "b"]
    assert queue.dropped == 0


def test_what_can_never_be_sent_is_counted_and_holds_up_nobody() -> None:
    stage = Stage(lambda recorded: None)
    stage.plan = [ValueError("a bug")]
    queue = RecordQueue(stage, interval_s=0)
    queue.put(batch("a", "b"))
    queue.put(batch("c"))
    asyncio.run(ran(queue, stage, 2))
    assert sent(stage) == ["a", "b", "c"]
    assert queue.dropped == 2
