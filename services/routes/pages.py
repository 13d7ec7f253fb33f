"""``/healthz /readyz /docs /openapi.json``: for probes and people."""

from __future__ import annotations

import time

from services.documents import DOCS, OPENAPI
from services.http import HTML, HttpError, Response
from services.pipeline import Pipeline
from services.routes.base import Request, Route

#: A readiness answer is good for this long, seconds.
READY_FOR_S = 1.0


class Pages:
    """Everything that tells how the service is, and nothing of what it has seen."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._ready_until = 0.0

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/healthz", self.healthz, "open"),
            Route("GET", "/readyz", self.readyz, "open"),
            Route("GET", "/docs", self.docs, "open"),
            Route("GET", "/openapi.json", self.openapi, "open"),
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

    async def docs(self, request: Request) -> Response:
        """GET /docs"""
        return Response(200, DOCS, HTML)

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json"""
        return Response(200, OPENAPI)
