"""The Gateway deployment: binds the graph's handles to the ASGI application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from ensemble.scorer import load_bundle
from services.auth import Guard
from services.documents import models_document
from services.gateway import GatewayApp
from services.metrics import GatewayMetrics
from services.pipeline import Pipeline, Stages
from services.routes.events import Lookups
from services.routes.models import Models
from services.telemetry import Tracing

#: A replica that died, cannot be reached, or is not there yet.
UNREACHABLE: tuple[type[Exception], ...] = (
    RayActorError,
    DeploymentUnavailableError,
    BackPressureError,
    RayServeException,
    ConnectionError,
)

Handle = DeploymentHandle[Any]


class _Gateway:
    """Serves HTTP; everything it knows of the other deployments are their handles."""

    def __init__(
        self,
        args: dict[str, Any],
        preprocessor: Handle,
        detectors: dict[str, Handle],
        combiner: Handle,
        explainer: Handle,
        recorder: Handle,
    ) -> None:
        tracing = Tracing(enabled=bool(args["tracing"]))
        preprocessor, combiner, recorder, explainer = map(
            _by_value, (preprocessor, combiner, recorder, explainer)
        )
        stages = Stages(
            prepare=preprocessor.prepare,
            learn=preprocessor.learn,
            probe=preprocessor.probe,
            detectors={name: _by_value(handle).score for name, handle in detectors.items()},
            judge=combiner.judge,
            record=recorder.record,
            first=recorder.first,
        )
        self._app = GatewayApp(
            Pipeline(stages, transient=UNREACHABLE, tracing=tracing),
            _lookups(args, recorder, explainer),
            guard=Guard(args["api_key_hashes"], requests_per_s=args["requests_per_s"]),
            tracing=tracing,
            metrics=GatewayMetrics(),
            routes=Models(models_document(load_bundle(Path(args["bundle"])))).routes(),
            unavailable=UNREACHABLE,
        )

    def __serve_build_asgi_app__(self) -> GatewayApp:
        """Called by Serve once the replica is up, on its event loop."""
        self._app.start()
        return self._app


def _by_value(handle: Handle) -> Handle:
    """Plain pickle over gRPC: what we send is bytes, and errors stay readable."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")


def _lookups(args: dict[str, Any], recorder: Handle, explainer: Handle) -> Lookups:
    async def event(event_id: str) -> tuple[bytes, bytes] | None:
        found: tuple[bytes, bytes] | None = await recorder.get.remote(event_id)
        return found

    async def explain(values: bytes) -> dict[str, Any]:
        explained: dict[str, Any] = await explainer.explain.remote(values)
        return explained

    return Lookups(event, explain, args["most_verdicts"])


Gateway: type[Any] = serve.ingress()(_Gateway)
