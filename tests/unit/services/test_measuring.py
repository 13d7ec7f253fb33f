"""Every call of a stage: how long, how many at once, and why there was no answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.measuring import Measured, measured
from services.metrics import GatewayMetrics
from services.pipeline import Stages
from services.recording import called
from tests.unit.services.stages import Died, Stage


def sample(metrics: GatewayMetrics, line: str) -> float:
    """The value of a sample, such as ``ztad_up{stage="x"}``; 0 if there is none."""
    for each in metrics.render().decode().splitlines():
        if each.startswith(f"{line} "):
            return float(each.rpartition(" ")[2])
    return 0.0


def test_an_answer() -> None:
    metrics, stage = GatewayMetrics(), Stage(lambda number: number + 1)
    assert asyncio.run(called(Measured(stage, "x", metrics, ()), 1, within_s=5)) == 2
    assert sample(metrics, 'ztad_stage_seconds_count{stage="x"}') == 1
    assert sample(metrics, 'ztad_up{stage="x"}') == 1
    assert sample(metrics, 'ztad_stage_calls_in_flight{stage="x"}') == 0


def test_a_call_in_flight() -> None:
    async def talk() -> None:
        metrics, stage, going = GatewayMetrics(), Stage(lambda: None), asyncio.Event()
        stage.plan = [going]
        call = asyncio.ensure_future(called(Measured(stage, "x", metrics, ()), within_s=5))
        await asyncio.sleep(0)
        assert sample(metrics, 'ztad_stage_calls_in_flight{stage="x"}') == 1
        going.set()
        await call
        assert sample(metrics, 'ztad_stage_calls_in_flight{stage="x"}') == 0

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Died(), "unreachable"), (ZeroDivisionError(), "error"), (TimeoutError(), "deadline")],
)
def test_no_answer(error: Exception, reason: str) -> None:
    metrics, stage = GatewayMetrics(), Stage(lambda: None)
    stage.plan = [error]
    call = Measured(stage, "x", metrics, (Died,))
    with pytest.raises(type(error)):
        asyncio.run(called(call, within_s=5))
    assert sample(metrics, f'ztad_stage_failures_total{{reason="{reason}",stage="x"}}') == 1
    assert sample(metrics, 'ztad_stage_seconds_count{stage="x"}') == 1
    assert sample(metrics, 'ztad_up{stage="x"}') == 0
    asyncio.run(called(call, within_s=5))
    assert sample(metrics, 'ztad_up{stage="x"}') == 1


def test_an_answer_that_comes_too_late() -> None:
    async def talk() -> float:
        metrics, stage = GatewayMetrics(), Stage(lambda: None)
        stage.plan = [asyncio.Event()]
        with pytest.raises(TimeoutError):
            await called(Measured(stage, "x", metrics, ()), within_s=0.01)
        return sample(metrics, 'ztad_stage_failures_total{reason="deadline",stage="x"}')

    assert asyncio.run(talk()) == 1


def test_every_method_of_the_graph_is_measured() -> None:
    def stage() -> Stage:
        return Stage(lambda *args: None)

    stages = Stages(
        stage(), stage(), stage(), {"a": stage(), "b": stage()}, stage(),
        {"a": stage(), "b": stage()}, stage(), stage(), stage(),
    )  # fmt: skip
    metrics = GatewayMetrics()
    wrapped = measured(stages, metrics, ())

    async def all_of_them() -> None:
        calls: list[Any] = [wrapped.prepare, wrapped.learn, wrapped.probe, wrapped.judge,
                            wrapped.shadow_judge, wrapped.record, wrapped.first,
                            *wrapped.detectors.values(),
                            *wrapped.shadow_detectors.values()]  # fmt: skip
        for call in calls:
            await call.remote()

    asyncio.run(all_of_them())
    names = ("preprocessor", "preprocessor_learn", "preprocessor_probe", "combiner", "recorder",
             "recorder_first", "a", "b")  # fmt: skip
    for name in names:
        assert sample(metrics, f'ztad_stage_seconds_count{{stage="{name}"}}') == 1
    assert sample(metrics, 'ztad_stage_seconds_count{stage="shadow"}') == 3
