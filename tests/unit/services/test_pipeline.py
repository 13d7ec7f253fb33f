"""The orchestration over stages that fail, are late, die and come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import pytest

from services import detecting
from services import pipeline as pipelines
from services.detecting import by_part, errands_of
from services.pipeline import Pipeline, Scored, StageUnavailable
from services.recording import Call
from services.repeats import marked
from services.routing import Live
from services.wire import ItemError, Part
from tests.unit.services.stages import Died, FakeGraph, until

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "REST_S", 0.001)
    monkeypatch.setattr(pipelines, "RETRY_PAUSE_S", 0.001)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(bounded())


async def score(pipeline: Pipeline, *ids: str) -> list[dict[str, Any]]:
    """Verdicts of one payload of events with these ids."""
    scored = await scored_of(pipeline, *ids)
    return [json.loads(answer) for answer in scored.answers if isinstance(answer, bytes)]


async def scored_of(pipeline: Pipeline, *ids: str) -> Scored:
    parts = [json.dumps({"event_id": name}).encode() for name in ids]
    return await pipeline.score(parts, "events", lambda items: [f"t{i}" for i in range(items)])


async def until_ready(pipeline: Pipeline) -> None:
    async with asyncio.timeout(30):
        while True:
            if await pipeline.probe():
                return
            await asyncio.sleep(0.001)


def test_answers_and_errors_in_their_places() -> None:
    graph = FakeGraph()
    parts = [b'{"event_id": "a"}', b'{"event_id": "b", "bad": "latitude"}', b'{"event_id": "c"}']
    scored = run(graph.pipeline().score(parts, "events", lambda items: ["ta", "tb", "tc"]))
    first, error, third = scored.answers
    assert isinstance(first, bytes)
    assert isinstance(third, bytes)
    assert error == ItemError(1, "b", "latitude", "is bad")
    assert [json.loads(each)["trace_id"] for each in (first, third)] == ["ta", "tc"]
    assert [json.loads(each)["event_id"] for each in (first, third)] == ["a", "c"]
    assert not scored.degraded


def test_nothing_but_errors_asks_no_detector() -> None:
    graph = FakeGraph()
    run(graph.pipeline().score([b'{"bad": "x"}'], "events", lambda items: [""]))
    assert graph.detectors["first"].calls == []
    assert graph.judge.calls == []


def test_a_detector_is_asked_by_those_versions_of_which_it_counts() -> None:
    graph = FakeGraph()
    part = Part(
        Live("champion", "v1", "p"), 1, values=b"1", context=b"", items=[0], event_ids=["a"]
    )
    idle = replace(part, values=b"2", idle=frozenset({"first"}))
    errands = errands_of(graph.detectors, [idle, part], {})
    assert [(one.detector, one.places, [work.values for work in one.work]) for one in errands] == [
        ("first", [1], [b"1"]),
        ("second", [0, 1], [b"2", b"1"]),
    ]
    found = by_part(errands, [[b"first"], [b"x", b"y"]], 2)
    assert found == [{"second": b"x"}, {"first": b"first", "second": b"y"}]
    assert [one.detector for one in errands_of(graph.detectors, [idle], {})] == ["second"]


def test_refused_as_a_whole() -> None:
    scored = run(FakeGraph().pipeline().score([b"{}"], "array", lambda items: []))
    assert scored.refused is not None
    assert (scored.refused.field, scored.answers) == ("body", [])


@pytest.mark.parametrize("failure", [Died(), ValueError("a bug")])
def test_a_detector_that_fails_is_left_out_until_it_answers(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()
    revive = detecting.Detectors._revive

    async def talk() -> None:
        awhile = asyncio.Event()

        async def later(self: detecting.Detectors, name: str, call: Call) -> None:
            await awhile.wait()
            await revive(self, name, call)

        monkeypatch.setattr(detecting.Detectors, "_revive", later)
        broken = graph.detectors["first"]
        broken.plan = [failure] * 4
        scored = await scored_of(pipeline, "a")
        assert scored.degraded
        asked = len(broken.calls)
        assert asked == (2 if isinstance(failure, Died) else 1)
        (verdict,) = await score(pipeline, "b")
        assert verdict["detectors"] == ["second"]
        assert len(broken.calls) == asked, "left alone"
        assert not await pipeline.probe()
        awhile.set()
        await until_ready(pipeline)
        assert broken.plan == []
        (verdict,) = await score(pipeline, "c")
        assert verdict["detectors"] == ["first", "second"]

    run(talk())


def test_a_replica_that_dies_is_asked_once_more() -> None:
    graph = FakeGraph()
    graph.detectors["first"].plan = [Died()]
    assert not run(scored_of(graph.pipeline(), "a")).degraded
    assert len(graph.detectors["first"].calls) == 2


def test_a_late_detector_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "DETECTOR_DEADLINE_S", 0.5)
    graph = FakeGraph()

    async def talk() -> None:
        graph.detectors["second"].plan = [asyncio.Event()]
        (verdict,) = await score(graph.pipeline(), "a")
        assert verdict["detectors"] == ["first"]

    run(talk())


def test_no_detector_at_all() -> None:
    graph = FakeGraph(detectors=("only",))
    pipeline = graph.pipeline()

    async def talk() -> None:
        graph.detectors["only"].plan = [Died()] * 3
        with pytest.raises(StageUnavailable, match="every detector"):
            await score(pipeline, "a")
        assert not await pipeline.probe()
        await until_ready(pipeline)

    run(talk())


@pytest.mark.parametrize("stage", ["prepare", "judge"])
def test_a_stage_that_is_being_replaced_is_waited_for(stage: str) -> None:
    graph = FakeGraph()
    getattr(graph, stage).plan = [Died()] * 3
    assert len(run(score(graph.pipeline(), "a"))) == 1
    assert len(getattr(graph, stage).calls) == 4


@pytest.mark.parametrize(("stage", "told"), [("prepare", "preprocessor"), ("judge", "combiner")])
def test_a_stage_that_stays_away(monkeypatch: pytest.MonkeyPatch, stage: str, told: str) -> None:
    monkeypatch.setattr(pipelines, "STAGE_DEADLINE_S", 0.1)
    graph = FakeGraph()
    getattr(graph, stage).plan = [Died()] * 10_000
    with pytest.raises(StageUnavailable, match=f"{told} is not available: Died"):
        run(score(graph.pipeline(), "a"))


def test_a_stage_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "STAGE_DEADLINE_S", 0.1)
    graph = FakeGraph()

    async def talk() -> None:
        graph.prepare.plan = [asyncio.Event()]
        with pytest.raises(StageUnavailable, match="TimeoutError"):
            await score(graph.pipeline(), "a")

    run(talk())


def learned(graph: FakeGraph) -> list[list[str]]:
    """What each call of the Preprocessor carried."""
    return [payload.learn for (payload,) in graph.prepare.calls]


def test_what_may_be_learned_travels_with_the_next_batch() -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> None:
        for event_id in ("a", "b", "b", "c"):
            await score(pipeline, event_id)

    run(talk())
    assert learned(graph) == [[], ["a"], ["b"], []]


def test_what_could_not_be_delivered_is_carried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> None:
        await score(pipeline, "a")
        monkeypatch.setattr(pipelines, "STAGE_DEADLINE_S", 0.1)
        graph.prepare.plan = [Died()] * 10_000
        with pytest.raises(StageUnavailable):
            await score(pipeline, "b")
        graph.prepare.plan = []
        await score(pipeline, "c")

    run(talk())
    assert learned(graph)[-1] == ["a"]


def test_without_a_batch_it_is_flushed() -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> None:
        await pipeline.flush()
        await score(pipeline, "a")
        graph.learn.plan = [Died()]
        await pipeline.flush()
        await pipeline.flush()
        await pipeline.flush()

    run(talk())
    assert graph.learn.calls == [(["a"],), (["a"],)]


def test_a_caller_that_is_cancelled_loses_nothing_to_learn() -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> None:
        await score(pipeline, "a")
        graph.prepare.plan = [asyncio.Event()]
        leaving = asyncio.create_task(score(pipeline, "b"))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await score(pipeline, "c")

    run(talk())
    assert learned(graph)[-1] == ["a"]


def again(first: dict[str, Any]) -> dict[str, Any]:
    return {**first, "duplicate": True}


def test_a_repeat_in_the_same_batch() -> None:
    first, second = run(score(FakeGraph().pipeline(), "a", "a"))
    assert not first["duplicate"]
    assert second == again(first)


def test_a_repeat_whose_first_verdict_is_on_its_way_to_the_recorder() -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> list[dict[str, Any]]:
        return [verdict for _ in range(3) for verdict in await score(pipeline, "a")]

    first, *repeats = run(talk())
    assert repeats == [again(first)] * 2
    assert graph.first.calls == []
    assert pipeline.recent("a") is not None
    assert pipeline.recent("b") is None


async def recorded(pipeline: Pipeline, graph: FakeGraph, event_id: str) -> None:
    """Let the record queue run until the Recorder has an event."""
    recording = asyncio.create_task(pipeline.run_recorder())
    await until(lambda: event_id in graph.recorded)
    recording.cancel()
    await asyncio.gather(recording, return_exceptions=True)


def test_a_repeat_whose_first_verdict_the_recorder_has() -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> list[dict[str, Any]]:
        first = await score(pipeline, "a")
        await recorded(pipeline, graph, "a")
        second = await score(pipeline, "a", "b")
        third = await score(pipeline, "a")
        return [*first, *second, *third]

    first, second, other, third = run(talk())
    assert second == third == again(first)
    assert not other["duplicate"]
    assert graph.first.calls == [(["a"],), (["a"],)]


def test_a_repeat_while_the_first_is_being_judged() -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        gate = asyncio.Event()
        graph.judge.plan = [gate]
        first = asyncio.create_task(score(pipeline, "a"))
        await until(lambda: len(graph.judge.calls) == 1)
        second = asyncio.create_task(score(pipeline, "a"))
        await until(lambda: len(graph.judge.calls) == 2)
        gate.set()
        return await first, await second

    (first,), (second,) = run(talk())
    assert second == again(first)


def test_a_repeat_that_nobody_remembers() -> None:
    """Its verdict of now is told, marked, and is the one that later repeats get."""
    graph = FakeGraph()
    pipeline = graph.pipeline()
    graph.known.add("a")
    graph.first.plan = [Died()]

    async def talk() -> list[dict[str, Any]]:
        return [*await score(pipeline, "a"), *await score(pipeline, "a")]

    first, second = run(talk())
    assert first["duplicate"]
    assert second == first


def test_our_own_second_attempt_is_no_repeat() -> None:
    """The Preprocessor had seen the event when it died: the client had not repeated anything."""
    graph = FakeGraph()
    pipeline = graph.pipeline()
    graph.known |= {"a", "b"}
    graph.prepare.plan = [Died()]

    async def talk() -> list[dict[str, Any]]:
        first = await score(pipeline, "a", "b", "a")
        return [*first, *await score(pipeline, "b")]

    first, other, in_batch, later = run(talk())
    assert [first["duplicate"], other["duplicate"]] == [False, False]
    assert in_batch == again(first)
    assert later == again(other)


def test_a_repeat_in_our_own_second_attempt_is_one_still() -> None:
    graph = FakeGraph()
    pipeline = graph.pipeline()

    async def talk() -> list[dict[str, Any]]:
        first = await score(pipeline, "a")
        graph.prepare.plan = [Died()]
        return [*first, *await score(pipeline, "a")]

    first, second = run(talk())
    assert second == again(first)


def test_marking_changes_one_value_and_no_other_byte() -> None:
    verdict = (
        b'{"score":0.10000000000000001,"text":"\\u00e4 \xc3\xa4","duplicate":false,"x":[1.50]}'
    )
    assert marked(verdict, duplicate=True) == verdict.replace(b"false", b"true")
    assert marked(marked(verdict, duplicate=True), duplicate=False) == verdict
    assert msgspec.json.decode(marked(verdict, duplicate=True))["duplicate"] is True
