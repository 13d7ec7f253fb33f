"""The whole graph in one process and on one event loop, without Ray.

The same stages, pipeline and HTTP application as the deployed graph; only the calls between them
do not leave the process. For tests, notebooks and debuggers::

    app = local_gateway(load_bundle(Path("bundle")))
    app.start()  # on a running event loop
    httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ztad")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from models.bundle import Bundle
from services.auth import Guard
from services.deployments import Combiner, DetectorReplica, Explainer, Preprocessor, Recorder
from services.documents import models_document
from services.gateway import GatewayApp
from services.metrics import GatewayMetrics
from services.pipeline import Pipeline, Stages
from services.routes.events import Lookups
from services.routes.models import Models
from services.telemetry import NO_TRACING


class LocalCall:
    """A method of an object in this process, called like one of another deployment."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self._method = method

    def remote(self, *args: Any) -> Awaitable[Any]:
        return self._method(*args)


def local_gateway(
    bundle: Bundle, *, guard: Guard | None = None, most_verdicts: int = 100_000
) -> GatewayApp:
    """The ASGI application over stages of its own; history and verdicts end with it."""
    path = str(bundle.path)
    recorder, explainer = Recorder(most_verdicts), Explainer(path)
    lookups = Lookups(recorder.get, explainer.explain, most_verdicts)
    return GatewayApp(
        Pipeline(_stages(path, tuple(bundle.detectors), recorder)),
        lookups,
        guard=guard or Guard(()),
        tracing=NO_TRACING,
        metrics=GatewayMetrics(),
        routes=Models(models_document(bundle)).routes(),
    )


def _stages(path: str, detectors: tuple[str, ...], recorder: Recorder) -> Stages:
    preprocessor, combiner = Preprocessor(path, None), Combiner(path)
    return Stages(
        prepare=LocalCall(preprocessor.prepare),
        learn=LocalCall(preprocessor.learn),
        probe=LocalCall(preprocessor.probe),
        detectors={name: LocalCall(DetectorReplica(path, name).score) for name in detectors},
        judge=LocalCall(combiner.judge),
        record=LocalCall(recorder.record),
        first=LocalCall(recorder.first),
    )
