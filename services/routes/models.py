"""``/v1/models`` and ``/v1/routing``: which versions answer, and changing that."""

from __future__ import annotations

from typing import Any

import msgspec

from services.book import RoutingBook
from services.http import JSON, HttpError, Response
from services.pipeline import Pipeline
from services.routes.base import Request, Route
from services.routes.consumers import Workers, counted
from services.routing import RoutingError, StaleRevision, describe
from services.streaming.metrics import together
from services.variants import Variants

_WEIGHTED = {
    "type": "object",
    "required": ["version", "weight"],
    "properties": {
        "version": {"type": "string"},
        "weight": {"type": "number", "minimum": 0, "maximum": 100},
    },
}
#: A routing as documents hold it.
ROUTING: dict[str, Any] = {
    "type": "object",
    "required": ["champion"],
    "properties": {
        "champion": _WEIGHTED,
        "challenger": {"anyOf": [_WEIGHTED, {"type": "null"}]},
        "shadow": {
            "anyOf": [
                {"type": "object", "properties": {"version": {"type": "string"}}},
                {"type": "null"},
            ]
        },
        "revision": {"type": "integer"},
    },
}


class Models:
    """Tells what is served, and puts another routing in force."""

    def __init__(self, book: RoutingBook, pipeline: Pipeline, variants: Variants) -> None:
        self._book = book
        self._pipeline = pipeline
        self._variants = variants
        #: Asks for what was judged of topics; None where no stream is configured.
        self.workers: Workers | None = None

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/models", self.models),
            Route("GET", "/v1/routing", self.routing),
            Route("PUT", "/v1/routing", self.change, "admin"),
        ]

    async def models(self, request: Request) -> Response:
        """GET /v1/models"""
        try:
            bundles = await self._book.described()
        except RoutingError as error:
            raise HttpError(503, error.field, error.message, retry_after_s=10) from None
        streamed = {} if self.workers is None else together(await counted(self.workers)) or None
        told = self._variants.document(self._book.routing, bundles, self._pipeline.shadow, streamed)
        return Response(200, msgspec.json.encode(told))

    async def routing(self, request: Request) -> Response:
        """GET /v1/routing"""
        return Response(200, describe(self._book.routing))

    async def change(self, request: Request) -> Response:
        """PUT /v1/routing"""
        if request.media_type() != JSON:
            raise HttpError(415, "content-type", "expected application/json")
        try:
            routing = await self._book.change(await request.body(), by=request.caller or "anyone")
        except StaleRevision as error:
            raise HttpError(409, error.field, error.message) from None
        except RoutingError as error:
            raise HttpError(422, error.field, error.message) from None
        return Response(200, describe(routing))
