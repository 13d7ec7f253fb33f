"""The stages as whoever orchestrates them sees them: handles, the same at every entrance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from models.bundle import Bundle
from services.book import Load, RoutingBook
from services.pipeline import Pipeline, Stages

#: A replica that died, cannot be reached, or is not there yet.
UNREACHABLE: tuple[type[Exception], ...] = (
    RayActorError,
    DeploymentUnavailableError,
    BackPressureError,
    RayServeException,
    ConnectionError,
)

Handle = DeploymentHandle[Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """Handles of the deployments without which there is no verdict, and of the one that keeps
    them."""

    preprocessor: Handle
    detectors: Mapping[str, Handle]
    combiner: Handle
    recorder: Handle

    def by_value(self) -> Graph:
        """The same, each called as :func:`by_value` says."""
        return Graph(
            by_value(self.preprocessor),
            {name: by_value(handle) for name, handle in self.detectors.items()},
            by_value(self.combiner),
            by_value(self.recorder),
        )

    def stages(self, bundle: Bundle) -> Stages:
        """What a pipeline calls."""
        return Stages(
            prepare=self.preprocessor.prepare,
            learn=self.preprocessor.learn,
            probe=self.preprocessor.probe,
            detectors={name: handle.score for name, handle in self.detectors.items()},
            judge=self.combiner.judge,
            shadow_detectors={name: handle.shadow for name, handle in self.detectors.items()},
            shadow_judge=self.combiner.shadow,
            record=self.recorder.record,
            first=self.recorder.first,
            sees=bundle.sees,
        )

    def book(self, pipeline: Pipeline, models_dir: str | None) -> RoutingBook:
        """What keeps a pipeline's routing as it is on record."""
        judging = (self.preprocessor, *self.detectors.values(), self.combiner)
        return RoutingBook(
            pipeline,
            models_dir=Path(models_dir) if models_dir else None,
            detectors=tuple(self.detectors),
            loads=[_load(handle) for handle in judging],
            keep=self.recorder.save_routing,
            kept=self.recorder.routing,
        )


def by_value(handle: Handle) -> Handle:
    """Plain pickle over gRPC: what we send is bytes, and errors stay readable."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")


def _load(handle: Handle) -> Load:
    """Has every replica of a deployment load a version."""

    async def load(version: str, path: str) -> None:
        await handle.broadcast("load", version, path).results_async()

    return load
