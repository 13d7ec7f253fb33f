"""``/v1/models``: which versions answer."""

from __future__ import annotations

from services.http import Response
from services.routes.base import Request, Route


class Models:
    """Tells what is served."""

    def __init__(self, document: bytes) -> None:
        self._document = document

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/models", self.models)]

    async def models(self, request: Request) -> Response:
        """GET /v1/models"""
        return Response(200, self._document)
