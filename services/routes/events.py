"""``/v1/events/{id}``: what was decided of an event, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from services.http import HttpError, Response
from services.pipeline import Pipeline
from services.routes.base import Request, Route


@dataclass(frozen=True, slots=True)
class Lookups:
    """What answers questions about past events; each is awaited."""

    event: Callable[[str], Awaitable[tuple[bytes, bytes] | None]]
    explain: Callable[[bytes], Awaitable[dict[str, Any]]]
    kept: int
    """How many of the last events can be asked for."""


class Events:
    """Verdicts on their way to the Recorder first, then the Recorder's."""

    def __init__(self, pipeline: Pipeline, lookups: Lookups) -> None:
        self._pipeline = pipeline
        self._lookups = lookups

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/events/{id}", self.event),
            Route("GET", "/v1/events/{id}/explanation", self.explanation),
        ]

    async def event(self, request: Request) -> Response:
        """GET /v1/events/{id}"""
        verdict, _ = await self._kept(request.params["id"])
        return Response(200, verdict)

    async def explanation(self, request: Request) -> Response:
        """GET /v1/events/{id}/explanation"""
        method = request.query().get("method", "shap")
        if method != "shap":
            raise HttpError(422, "method", f"expected shap, got {method[:32]!r}")
        verdict, values = await self._kept(request.params["id"])
        explained = await self._lookups.explain(values)
        whole = {"verdict": msgspec.Raw(verdict), "explanation": explained}
        return Response(200, msgspec.json.encode(whole))

    async def _kept(self, event_id: str) -> tuple[bytes, bytes]:
        kept = self._pipeline.recent(event_id) or await self._lookups.event(event_id)
        if kept is None:
            message = f"not among the last {self._lookups.kept:,} events; older ones are not kept"
            raise HttpError(404, "event_id", message)
        return kept
