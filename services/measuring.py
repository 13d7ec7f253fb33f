"""Rate, errors and duration of every stage, taken where its answer is waited for.

One measurement a call, and a call carries a batch: nothing here is done per event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.metrics import GatewayMetrics
from services.pipeline import Stages
from services.recording import Call

#: Why a call was not answered.
REASONS = ("deadline", "unreachable", "error")


class Measured:
    """A remote method, counted as calls of a stage. Otherwise as it was.

    ``unreachable`` are the errors of a replica that died or is not there. A call that is cancelled
    missed its deadline: whoever made it waits no longer.
    """

    def __init__(
        self,
        call: Call,
        stage: str,
        metrics: GatewayMetrics,
        unreachable: tuple[type[Exception], ...],
    ) -> None:
        self._call = call
        self._stage = stage
        self._failures = metrics.stage_failures
        self._unreachable = unreachable
        self._seconds = metrics.stage_seconds.labels(stage)
        self._waiting = metrics.stage_calls.labels(stage)
        self._up = metrics.up.labels(stage)
        for reason in REASONS:  # from 0 on: the first failure has to show in a rate
            self._failures.labels(stage, reason)

    async def remote(self, *args: Any) -> Any:
        """The answer of the method, or what it raises."""
        self._waiting.inc()
        started = time.perf_counter()
        try:
            answer = await self._call.remote(*args)
        except (Exception, asyncio.CancelledError) as error:
            self._failures.labels(self._stage, self._reason(error)).inc()
            self._up.set(0)
            raise
        finally:
            self._seconds.observe(time.perf_counter() - started)
            self._waiting.dec()
        self._up.set(1)
        return answer

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, (asyncio.CancelledError, TimeoutError)):
            return "deadline"
        return "unreachable" if isinstance(error, self._unreachable) else "error"


def measured(
    stages: Stages, metrics: GatewayMetrics, unreachable: tuple[type[Exception], ...]
) -> Stages:
    """The same stages, each call of them measured."""

    def one(call: Call, stage: str) -> Call:
        return Measured(call, stage, metrics, unreachable)

    def each(calls: Mapping[str, Call], stage: str = "") -> dict[str, Call]:
        return {name: one(call, stage or name) for name, call in calls.items()}

    return replace(
        stages,
        prepare=one(stages.prepare, "preprocessor"),
        learn=one(stages.learn, "preprocessor_learn"),
        probe=one(stages.probe, "preprocessor_probe"),
        detectors=each(stages.detectors),
        judge=one(stages.judge, "combiner"),
        shadow_detectors=each(stages.shadow_detectors, "shadow"),
        shadow_judge=one(stages.shadow_judge, "shadow"),
        record=one(stages.record, "recorder"),
        first=one(stages.first, "recorder_first"),
    )
