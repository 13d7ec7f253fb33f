"""``/metrics``: whole while everything answers, and answered whatever does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.bundle import Bundle
from services import detecting
from services.measuring import measured
from services.metrics import FAMILIES, GatewayMetrics
from services.pipeline import Pipeline
from services.routes import metrics as route
from services.routes.base import Request
from services.routes.metrics import MetricsPage
from services.routing import only
from tests.unit.services.stages import Died, FakeGraph, Stage

RECORDERS = b"# TYPE ztad_store_bytes gauge\nztad_store_bytes 1.0\n"


class Page:
    """The page over a graph in memory."""

    def __init__(self, graph: FakeGraph, recorder: Stage | None = None) -> None:
        self.metrics = GatewayMetrics()
        self.pipeline = graph.pipeline(lambda stages: measured(stages, self.metrics, (Died,)))
        self.book = graph.book(self.pipeline)
        self.recorder = recorder or Stage(lambda: RECORDERS)
        self.page = MetricsPage(self.pipeline, self.book, self.metrics, self.recorder)

    async def samples(self) -> dict[str, float]:
        """The value of every sample, by its line without it."""

        async def receive() -> dict[str, Any]:
            return {}

        answer = await self.page.metrics(Request({"type": "http"}, receive, "", None))
        text = answer.body.decode()
        for family in text_string_to_metric_families(text):
            assert family.name in FAMILIES or f"{family.name}_total" in FAMILIES
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


def run(talk: Callable[[], Any]) -> Any:
    return asyncio.run(talk())


async def score(pipeline: Pipeline, event: bytes = b'{"event_id": "a"}') -> None:
    await pipeline.score([event], "events", lambda items: [""])


def test_stages_and_what_the_recorder_says() -> None:
    async def talk() -> dict[str, float]:
        page = Page(FakeGraph())
        await score(page.pipeline)
        return await page.samples()

    samples = run(talk)
    for stage in ("preprocessor", "first", "second", "combiner"):
        assert samples[f'ztad_stage_seconds_count{{stage="{stage}"}}'] == 1
        assert samples[f'ztad_up{{stage="{stage}"}}'] == 1
    assert samples['ztad_up{stage="recorder"}'] == 1
    assert samples["ztad_store_bytes"] == 1
    assert samples["ztad_unrecorded_events"] == 1
    assert samples["ztad_lost_records_total"] == 0
    assert samples['ztad_detector_resting{detector="first"}'] == 0
    assert samples['ztad_routing_weight{variant="champion",version="v1"}'] == 100


@pytest.mark.parametrize("why", [Died(), ZeroDivisionError(), asyncio.Event()])
def test_without_the_recorder_the_rest_is_told(
    why: BaseException | asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "RECORDER_WITHIN_S", 0.01)

    async def talk() -> dict[str, float]:
        recorder = Stage(lambda: RECORDERS)
        recorder.plan = [why]
        return await Page(FakeGraph(), recorder).samples()

    samples = run(talk)
    assert samples['ztad_up{stage="recorder"}'] == 0
    assert "ztad_store_bytes" not in samples
    assert samples["ztad_unrecorded_events"] == 0


def test_retries_and_detectors_that_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "REST_S", 60.0)

    async def talk() -> dict[str, float]:
        graph = FakeGraph()
        graph.detectors["second"].plan = [Died(), Died()]
        page = Page(graph)
        await score(page.pipeline)
        return await page.samples()

    samples = run(talk)
    assert samples['ztad_stage_retries_total{stage="second"}'] == 1
    assert samples['ztad_stage_failures_total{reason="unreachable",stage="second"}'] == 2
    assert samples['ztad_detector_resting{detector="second"}'] == 1
    assert samples['ztad_up{stage="second"}'] == 0


def test_what_a_version_promises(bundle: Bundle) -> None:
    async def talk() -> dict[str, float]:
        graph = FakeGraph(tuple(bundle.detectors))
        graph.routing = only(bundle.version, str(bundle.path))
        return await Page(graph).samples()

    name = f'ztad_alert_budget_promised{{variant="champion",version="{bundle.version}"}}'
    assert run(talk)[name] == 25


def test_a_version_that_cannot_be_read_hides_nothing_else() -> None:
    """The fake graph's version has no folder."""
    samples = run(Page(FakeGraph()).samples)
    assert not any(name.startswith("ztad_alert_budget_promised") for name in samples)
    assert samples['ztad_up{stage="recorder"}'] == 1
