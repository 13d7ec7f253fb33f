"""``/healthz /readyz /metrics /docs /openapi.json``: for probes, Prometheus and people."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from services.documents import DOCS, OPENAPI
from services.http import HTML, TEXT, HttpError, Response
from services.metrics import GatewayMetrics
from services.pipeline import Pipeline
from services.routes.base import Request, Route

LOG = logging.getLogger("ztad.gateway")

#: The Recorder has this long to tell its metrics, seconds.
METRICS_WAIT_S = 2.0
#: A readiness answer is good for this long, seconds.
READY_FOR_S = 1.0


class Pages:
    """Everything that tells how the service is, and nothing of what it has seen."""

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: GatewayMetrics,
        waiting: Callable[[], int],
        recorder: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._recorder = recorder
        self._metrics = metrics
        self._waiting = waiting
        self._ready_until = 0.0
        self._lost = 0
        self._told_shadow = (0, 0)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/healthz", self.healthz, "open"),
            Route("GET", "/readyz", self.readyz, "open"),
            Route("GET", "/docs", self.docs, "open"),
            Route("GET", "/openapi.json", self.openapi, "open"),
            Route("GET", "/metrics", self.metrics),
        ]

    async def healthz(self, request: Request) -> Response:
        """GET /healthz"""
        return Response(200, b'{"status":"alive"}')

    async def readyz(self, request: Request) -> Response:
        """GET /readyz: 200 only if a canned event gets a verdict from every stage."""
        if time.monotonic() >= self._ready_until:
            if not await self._pipeline.probe():
                raise HttpError(503, "detectors", "not every detector answers", retry_after_s=1)
            self._ready_until = time.monotonic() + READY_FOR_S
        return Response(200, b'{"status":"ready"}')

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: the gateway's, and the Recorder's when it answers."""
        self._metrics.waiting.set(self._waiting())
        self._metrics.lost.inc(self._pipeline.lost - self._lost)
        self._lost = self._pipeline.lost
        self._tell_variants()
        return Response(200, self._metrics.render() + await self._recorders(), TEXT)

    async def _recorders(self) -> bytes:
        if self._recorder is None:
            return b""
        try:
            async with asyncio.timeout(METRICS_WAIT_S):
                return await self._recorder()
        except Exception:  # its absence shows in what is missing
            LOG.warning("the Recorder tells no metrics", exc_info=True)
            return b""

    def _tell_variants(self) -> None:
        metrics, shadow = self._metrics, self._pipeline.shadow
        metrics.routing_weight.clear()
        for live in self._pipeline.routing.everyone:
            metrics.routing_weight.labels(live.variant, live.version).set(live.weight)
        told_judged, told_shed = self._told_shadow
        metrics.shadow.labels("judged").inc(shadow.judged - told_judged)
        metrics.shadow.labels("shed").inc(shadow.shed - told_shed)
        self._told_shadow = (shadow.judged, shadow.shed)

    async def docs(self, request: Request) -> Response:
        """GET /docs"""
        return Response(200, DOCS, HTML)

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json"""
        return Response(200, OPENAPI)
