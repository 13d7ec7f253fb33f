"""A version that only watches: nobody waits for it, and it is shed first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from services.pipeline import Pipeline, Scored
from services.routing import Live, Routing
from services.shadow import MOST_WAITING
from services.wire import ItemError
from tests.unit.services.stages import Died, FakeGraph, until

WATCHED = Routing((Live("champion", "v1", "p1"),), Live("shadow", "v2", "p2", 0.0))


def watched() -> FakeGraph:
    graph = FakeGraph()
    graph.routing = WATCHED
    return graph


def with_shadow(graph: FakeGraph, talk: Callable[[Pipeline], Awaitable[None]]) -> None:
    """Hold a conversation while the shadow is at work."""

    async def run() -> None:
        pipeline = graph.pipeline()
        tasks = [
            asyncio.create_task(pipeline.shadow.run()),
            asyncio.create_task(pipeline.run_recorder()),
        ]
        try:
            async with asyncio.timeout(30):
                await talk(pipeline)
        finally:
            for task in tasks:
                task.cancel()

    asyncio.run(run())


async def score(pipeline: Pipeline, *ids: str) -> Scored:
    parts = [json.dumps({"event_id": name}).encode() for name in ids]
    return await pipeline.score(parts, "events", lambda items: ["t"] * items)


def versions(answer: bytes | ItemError) -> str:
    assert isinstance(answer, bytes)
    return str(json.loads(answer)["model_version"])


def test_it_judges_the_same_events_and_its_verdicts_are_kept_apart() -> None:
    graph = watched()

    async def talk(pipeline: Pipeline) -> None:
        scored = await score(pipeline, "a", "b")
        assert [versions(answer) for answer in scored.answers] == ["v1", "v1"]
        await until(lambda: len(graph.watched) == 2 and len(graph.recorded) == 2)
        assert json.loads(graph.watched["a"])["variant"] == "shadow"
        assert json.loads(graph.recorded["a"])["variant"] == "champion"
        assert (pipeline.shadow.judged, pipeline.shadow.shed) == (2, 0)

    with_shadow(graph, talk)


def test_what_it_judges_is_not_learned() -> None:
    graph = watched()

    async def talk(pipeline: Pipeline) -> None:
        await score(pipeline, "a")
        await until(lambda: bool(graph.watched))
        await pipeline.flush()
        assert graph.learn.calls == [(["a"],)]

    with_shadow(graph, talk)


def test_one_that_hangs_delays_nobody_and_sheds() -> None:
    graph = watched()
    never = asyncio.Event()
    graph.shadow_detectors["first"].plan = [never]

    async def talk(pipeline: Pipeline) -> None:
        enough = MOST_WAITING // 10
        for number in range(enough + 3):
            scored = await score(pipeline, *(f"{number}-{place}" for place in range(10)))
            assert len(scored.answers) == 10
        assert (pipeline.shadow.judged, pipeline.shadow.shed) == (0, 30)
        # The Preprocessor was not even asked to prepare what would be shed.
        asked = [payload.routing.shadow is not None for (payload,) in graph.prepare.calls]
        assert asked == [True] * enough + [False] * 3
        never.set()
        await until(lambda: pipeline.shadow.judged == MOST_WAITING)

    with_shadow(graph, talk)


def test_batches_that_come_meanwhile_share_its_calls() -> None:
    graph = watched()
    first_call = asyncio.Event()
    graph.shadow_detectors["first"].plan = [first_call]

    async def talk(pipeline: Pipeline) -> None:
        await score(pipeline, "a")
        await until(lambda: bool(graph.shadow_detectors["first"].calls))
        for name in ("b", "c", "d"):
            await score(pipeline, name)
        first_call.set()
        await until(lambda: pipeline.shadow.judged == 4)
        for stage in (*graph.shadow_detectors.values(), graph.shadow_judge):
            assert [len(parts) for (parts,) in stage.calls] == [1, 3]

    with_shadow(graph, talk)


def test_what_it_makes_of_events_is_told_by_version() -> None:
    graph = watched()
    told: list[tuple[str, int]] = []

    async def talk(pipeline: Pipeline) -> None:
        pipeline.shadow.told = lambda live, judged, took_s: told.append(
            (live.version, len(judged.verdicts))
        )
        await score(pipeline, "a", "b")
        await until(lambda: bool(told))
        assert told == [("v2", 2)]

    with_shadow(graph, talk)


def test_one_that_fails_is_counted_told_once_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    graph = watched()
    graph.shadow_judge.plan = [Died(), Died()]

    async def talk(pipeline: Pipeline) -> None:
        await score(pipeline, "a", "b")
        await until(lambda: pipeline.shadow.shed == 2)
        await score(pipeline, "c")
        await until(lambda: pipeline.shadow.shed == 3)
        await score(pipeline, "d")
        await until(lambda: bool(graph.watched))
        assert set(graph.watched) == {"d"}
        assert (pipeline.shadow.judged, pipeline.shadow.shed) == (1, 3)
        assert [record.getMessage() for record in caplog.records] == ["shadow version v2 fails"]

    with_shadow(graph, talk)
