"""How many batches a stream worker has under way."""

from __future__ import annotations

import asyncio

from services.streaming.args import StreamArgs
from services.streaming.base import Outgoing
from services.streaming.memory import MemoryBroker
from services.streaming.worker import MOST_SMALL, Worker
from tests.contracts.test_stream_workers import event, stream, working
from tests.unit.services.stages import FakeGraph, until

ARGS: StreamArgs = stream("few", partitions=1, batch_events=5, in_flight=6)


async def sent(broker: MemoryBroker, messages: list[Outgoing]) -> None:
    await asyncio.to_thread(broker.sink().deliver, messages)


def test_large_batches_are_recorded_beside_each_other() -> None:
    broker, graph, recording = MemoryBroker(), FakeGraph(), asyncio.Event()
    graph.record.plan = [recording]

    async def run() -> None:
        broker.ensure(ARGS.topics)
        await sent(broker, [event(ARGS, f"{n:02}") for n in range(60)])
        async with working(broker, graph, ARGS) as worker:
            await until(lambda: worker.state().in_flight == 6)
            await until(lambda: len(graph.judge.calls) == 6)
            assert len(graph.prepare.calls) == 6
            recording.set()
            await until(lambda: len(graph.recorded) == 60)

    asyncio.run(run())


def test_small_batches_wait_for_those_before_them() -> None:
    broker, graph, recording = MemoryBroker(), FakeGraph(), asyncio.Event()
    graph.record.plan = [recording]
    more = MOST_SMALL + 3  # one waits for room, one behind it, one is read

    async def run() -> None:
        broker.ensure(ARGS.topics)
        async with working(broker, graph, ARGS) as worker:
            for number in range(more):
                await sent(broker, [event(ARGS, f"{number:02}")])
                await consumed(worker, number + 1)
            assert worker.state().in_flight == MOST_SMALL
            assert len(graph.prepare.calls) == MOST_SMALL
            recording.set()
            await until(lambda: len(graph.recorded) == more)

    asyncio.run(run())


async def consumed(worker: Worker, messages: int) -> None:
    await until(lambda: worker.counts.consumed == messages)
