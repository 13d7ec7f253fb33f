"""What a stream worker promises, over every broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.streaming.args import StreamArgs
from services.streaming.base import Broker, Message, Outgoing
from services.streaming.dead_letter import DeadLetters
from services.streaming.memory import MemoryBroker
from services.streaming.scoring import Scoring
from services.streaming.worker import Worker
from services.wire import Features, Payload
from tests.unit.services.stages import Died, FakeGraph, until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW_S = 1_764_000_000.0


def stream(name: str, **given: Any) -> StreamArgs:
    """Topics and group of one test; a batch is as much as the graph in memory takes."""
    return StreamArgs.model_validate(
        {
            "bootstrap": "nowhere:1",
            "group": name,
            "events": f"{name}.events",
            "verdicts": f"{name}.verdicts",
            "alerts": f"{name}.alerts",
            "dead_letters": f"{name}.dead",
            "partitions": 2,
            "replicas": 1,
            "batch_events": 5,
            **given,
        }
    )


@asynccontextmanager
async def working(broker: Broker, graph: FakeGraph, args: StreamArgs) -> AsyncIterator[Worker]:
    """A worker that works meanwhile."""
    pipeline = graph.pipeline(patient=True)
    worker = Worker(broker, Scoring(pipeline, lambda: NOW_S), args, name="w")
    tasks = [asyncio.ensure_future(work()) for work in (worker.run, *pipeline.background)]
    try:
        yield worker
    finally:
        worker.stop()
        await tasks[0]
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)


async def write(broker: Broker, topic: str, *messages: Outgoing) -> None:
    sink = broker.sink()
    await asyncio.to_thread(sink.deliver, messages)
    sink.close()


def event(args: StreamArgs, event_id: str, user: str = "ann", **fields: Any) -> Outgoing:
    value = json.dumps({"event_id": event_id, "user_id": user, **fields}).encode()
    return Outgoing(args.events, value, user.encode())


def header(message: Message, name: str) -> str | None:
    return next((value.decode() for key, value in message.headers if key == name), None)


async def read(broker: Broker, topic: str | None) -> list[Message]:
    assert topic is not None
    return await asyncio.to_thread(lambda: list(broker.read(topic)))


async def committed(broker: Broker, args: StreamArgs) -> list[str]:
    """Ids of the events that a new member of the group still gets."""
    graph = FakeGraph()
    async with working(broker, graph, args):
        await write(broker, args.events, event(args, "last", "eve"), event(args, "last", "bob"))
        await until(lambda: "last" in graph.recorded)
    return sorted(graph.recorded.keys() - {"last"})


def test_every_event_gets_its_verdict_in_the_topics(broker: Broker, name: str) -> None:
    args, graph = stream(name), FakeGraph()

    async def run() -> None:
        broker.ensure(args.topics)
        plain = event(args, "good")
        traced = Outgoing(args.events, plain.value, b"k", [("traceparent", TRACE.encode())])
        await write(broker, args.events, traced, event(args, "evil-1", "bob"))
        async with working(broker, graph, args) as worker:
            await until(lambda: worker.counts.events.total() == 2)
        assert worker.counts.variants == {
            ("champion", "v1", "ordinary"): 1, ("champion", "v1", "alert"): 1
        }  # fmt: skip
        verdicts = {header(each, "event_id"): each for each in await read(broker, args.verdicts)}
        assert set(verdicts) == {"good", "evil-1"}
        assert verdicts["good"].value == graph.recorded["good"]
        assert verdicts["good"].key == b"ann"
        assert header(verdicts["good"], "traceparent") == TRACE
        assert json.loads(graph.recorded["good"])["trace_id"] == TRACE[3:35]
        [alert] = await read(broker, args.alerts)
        assert (alert.value, alert.key) == (graph.recorded["evil-1"], b"bob")
        assert await read(broker, args.dead_letters) == []
        assert await committed(broker, args) == []

    asyncio.run(run())


def test_a_message_that_is_no_event_is_a_dead_letter(broker: Broker, name: str) -> None:
    args, graph = stream(name), FakeGraph()

    async def run() -> None:
        broker.ensure(args.topics)
        bad = Outgoing(args.events, b'{"event_id": "b", "bad": "country"}', b"ann",
                       [("traceparent", TRACE.encode()), ("x", b"\xff")])  # fmt: skip
        empty = Outgoing(args.events, None, b"ann")
        broken = Outgoing(args.events, b'{"event_id": "c", "bad": "body"}', b"ann")
        huge = Outgoing(args.events, b" " * (1 << 20) + b"{", b"ann")
        small = [event(args, "before"), bad, empty, broken, event(args, "after")]
        await write(broker, args.events, *small)
        if isinstance(broker, MemoryBroker):  # more than Kafka takes by default
            await write(broker, args.events, huge)
        async with working(broker, graph, args) as worker:
            await until(lambda: set(graph.recorded) == {"before", "after"})
            await until(lambda: worker.counts.letters.total() >= 3)
        letters = list(DeadLetters(broker, args.dead_letters).letters())
        first, second, third = letters[:3]
        assert (first.reason, first.field, first.message) == ("invalid", "country", "is bad")
        assert (first.value, first.key, first.event_id) == (bad.value, b"ann", "b")
        assert (first.topic, first.offset) == (args.events, 1)
        assert (first.traceparent, first.headers[1]) == (TRACE, ("x", b"\xff"))
        assert (second.reason, second.field, second.value) == ("undecodable", "body", None)
        assert (third.reason, third.field) == ("undecodable", "body")
        if isinstance(broker, MemoryBroker):
            assert (letters[3].reason, letters[3].value_bytes) == ("too_large", (1 << 20) + 1)
        assert await committed(broker, args) == []

    asyncio.run(run())


class Failing(FakeGraph):
    """A stage that has a fault, and fails at what holds ``poison``."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage

    def _prepare(self, payload: Payload) -> Features:
        if self._stage == "prepare" and any(b"poison" in part for part in payload.parts):
            raise ValueError("a fault")
        return super()._prepare(payload)

    def _judge(self, cases: Any) -> Any:
        if self._stage == "judge" and any(b"poison" in case.context for case in cases):
            raise ValueError("a fault")
        return super()._judge(cases)


@pytest.mark.parametrize("stage", ["prepare", "judge"])
def test_an_event_that_a_stage_fails_at_takes_no_other_along(
    broker: Broker, name: str, stage: str
) -> None:
    args, graph = stream(name), Failing(stage)
    ids = ["a", "b", "poison", "c", "d"]

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, *(event(args, each) for each in ids))
        async with working(broker, graph, args) as worker:
            await until(lambda: set(graph.recorded) == {"a", "b", "c", "d"})
            await until(lambda: worker.counts.letters.total() == 1)
        [dead] = DeadLetters(broker, args.dead_letters).letters()
        assert (dead.reason, dead.value) == ("unscorable", event(args, "poison").value)
        assert await committed(broker, args) == []

    asyncio.run(run())


def test_what_was_read_and_not_finished_is_read_again(broker: Broker, name: str) -> None:
    args, graph = stream(name), FakeGraph()
    hangs = asyncio.Event()
    graph.record.plan = [hangs] * 100

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, event(args, "a"), event(args, "evil"))
        async with working(broker, graph, args) as worker:
            await until(lambda: len(graph.record.calls) == 1)
            assert await read(broker, args.verdicts) == []
            assert worker.counts.commits == 0
        graph.record.plan = []
        assert graph.known == {"a", "evil"}
        assert graph.recorded == {}
        async with working(broker, graph, args) as worker:
            await until(lambda: worker.counts.commits > 0)
            assert worker.counts.events["duplicate"] == 2
        assert set(graph.recorded) == {"a", "evil"}
        assert len(await read(broker, args.alerts)) == 1

    asyncio.run(run())


def test_an_event_that_is_read_twice_keeps_its_first_verdict(broker: Broker, name: str) -> None:
    args, graph = stream(name), FakeGraph()

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, event(args, "a"))
        async with working(broker, graph, args):
            await until(lambda: "a" in graph.recorded)
        first = graph.recorded["a"]
        again = args.model_copy(update={"group": f"{name}.again"})  # begins anew
        async with working(broker, graph, again) as worker:
            await until(lambda: worker.counts.events["duplicate"] == 1)
            assert worker.counts.events["ordinary"] == 0
        assert graph.recorded == {"a": first}
        verdicts = [json.loads(each.value or b"") for each in await read(broker, args.verdicts)]
        assert [each["score"] for each in verdicts] == [1, 1]
        assert [each["duplicate"] for each in verdicts] == [False, True]

    asyncio.run(run())


def test_an_event_without_an_id_is_called_by_its_place(broker: Broker, name: str) -> None:
    args, graph = stream(name, partitions=1), FakeGraph()
    same = Outgoing(args.events, b'{"user_id": "ann"}', b"ann")

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, same, same)
        async with working(broker, graph, args):
            await until(lambda: len(graph.recorded) == 2)
        assert set(graph.recorded) == {f"{args.events}-0-0", f"{args.events}-0-1"}

    asyncio.run(run())


def test_batches_are_prepared_one_after_the_other_and_judged_together(
    broker: Broker, name: str
) -> None:
    args, graph = stream(name, partitions=1), FakeGraph()
    preparing, judging = asyncio.Event(), asyncio.Event()
    graph.prepare.plan = [preparing]
    graph.judge.plan = [judging]

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, *(event(args, f"{n:02}") for n in range(15)))
        async with working(broker, graph, args) as worker:
            await until(lambda: worker.counts.consumed == 15)
            assert len(graph.prepare.calls) == 1
            preparing.set()
            await until(lambda: len(graph.prepare.calls) == 3)
            await until(lambda: len(graph.recorded) == 10)
            assert worker.counts.commits == 0
            judging.set()
            await until(lambda: len(graph.recorded) == 15)
        order = [json.loads(part)["event_id"] for (payload,) in graph.prepare.calls
                 for part in payload.parts]  # fmt: skip
        assert order == [f"{n:02}" for n in range(15)]
        assert await committed(broker, args) == []

    asyncio.run(run())


def test_a_stage_that_is_away_is_waited_for(broker: Broker, name: str) -> None:
    args, graph = stream(name), FakeGraph()
    graph.prepare.plan = [Died()] * 3
    graph.judge.plan = [Died()] * 3

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, event(args, "a"))
        async with working(broker, graph, args) as worker:
            await until(lambda: "a" in graph.recorded)
            await until(lambda: worker.counts.commits == 1)
        assert worker.counts.letters.total() == 0
        assert json.loads(graph.recorded["a"])["duplicate"] is False

    asyncio.run(run())


def test_partitions_pause_while_a_stage_takes_long(broker: Broker, name: str) -> None:
    args, graph = stream(name, in_flight=1), FakeGraph()
    preparing = asyncio.Event()
    graph.prepare.plan = [preparing]

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, *(event(args, f"{n:02}") for n in range(40)))
        async with working(broker, graph, args) as worker:
            await until(lambda: worker.state().paused)
            assert worker.counts.consumed <= 15
            preparing.set()
            await until(lambda: len(graph.recorded) == 40)
            await until(lambda: not worker.state().paused)
        assert await committed(broker, args) == []

    asyncio.run(run())


def test_the_fuse_stops_a_worker_whose_input_is_dead(broker: Broker, name: str) -> None:
    args = stream(name, partitions=1, fuse_window=10, fuse_least=6)
    graph = FakeGraph()
    dead = DeadLetters(broker, args.dead_letters)

    async def run() -> None:
        broker.ensure(args.topics)
        before = [event(args, f"before {n}") for n in range(5)]
        bad = [event(args, f"bad {n}", bad="country") for n in range(10)]
        after = [event(args, f"after {n}") for n in range(15)]
        await write(broker, args.events, *before, *bad, *after)
        async with working(broker, graph, args) as worker:
            await until(lambda: worker.state().paused)
            assert worker.state().fused == "10 of the last 10 messages are dead letters"
        assert len(list(dead.letters())) == 5  # of the batch before: so far half were, not more
        assert len(graph.recorded) == 5
        async with working(broker, graph, args) as worker:  # a restart goes on where it stopped
            await until(lambda: len(graph.recorded) == 20)
        assert len(list(dead.letters())) == 10
        assert await committed(broker, args) == []

    asyncio.run(run())


def test_a_fuse_that_is_closed_lets_the_worker_go_on(broker: Broker, name: str) -> None:
    args = stream(name, partitions=1, fuse_window=10, fuse_least=3)
    graph = FakeGraph()

    async def run() -> None:
        broker.ensure(args.topics)
        bad = [event(args, f"bad {n}", bad="country") for n in range(5)]
        await write(broker, args.events, *bad, event(args, "good"))
        async with working(broker, graph, args) as worker:
            await until(lambda: worker.state().fused is not None)
            assert list(DeadLetters(broker, args.dead_letters).letters()) == []
            worker.close_fuse()
            await until(lambda: "good" in graph.recorded)
            await until(lambda: worker.counts.letters["invalid"] == 5)
            assert worker.state().fused is None
        assert await committed(broker, args) == []

    asyncio.run(run())


def test_two_workers_share_the_events_and_lose_none(broker: Broker, name: str) -> None:
    args, graph = stream(name, partitions=4), FakeGraph()
    wanted = {f"{n:03}" for n in range(200)}

    async def run() -> None:
        broker.ensure(args.topics)
        some = [event(args, each, f"user {int(each) % 20}") for each in sorted(wanted)]
        await write(broker, args.events, *some[:100])
        async with working(broker, graph, args) as first:
            await until(lambda: len(graph.recorded) >= 30)
            async with working(broker, graph, args) as second:
                await until(lambda: second.counts.rebalances["assigned"] > 0)
                await write(broker, args.events, *some[100:])
                await until(lambda: set(graph.recorded) == wanted)
                await until(lambda: second.counts.consumed > 0)
            await write(broker, args.events, event(args, "one more"))
            await until(lambda: "one more" in graph.recorded)
            assert first.counts.rebalances["revoked"] > 0
        assert graph.made == 201  # nothing was read twice: it was settled before it moved
        assert await committed(broker, args) == []

    asyncio.run(run())


def test_outputs_that_cannot_be_written_are_written_later(name: str) -> None:
    broker, args, graph = MemoryBroker(), stream(name), FakeGraph()
    recording = asyncio.Event()
    graph.record.plan = [recording]

    async def run() -> None:
        broker.ensure(args.topics)
        await write(broker, args.events, event(args, "a"))
        async with working(broker, graph, args) as worker:
            await until(lambda: len(graph.record.calls) == 1)
            broker.away = True
            recording.set()
            await until(lambda: worker.state().trouble is not None)
            assert worker.counts.events.total() == 0
            broker.away = False
            await until(lambda: worker.counts.commits == 1)
            assert worker.state().trouble is None
        assert len(await read(broker, args.verdicts)) == 1

    asyncio.run(run())


def test_missing_topics_are_made_at_the_start(broker: Broker, name: str) -> None:
    args = stream(name)

    async def run() -> None:
        async with working(broker, FakeGraph(), args) as worker:
            await until(lambda: worker.counts.rebalances["assigned"] > 0)
        made: Callable[[str], int] = broker.partitions
        assert [made(topic.name) for topic in args.topics] == [2, 2, 2, 1]

    asyncio.run(run())
