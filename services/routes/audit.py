"""``/v1/audit``: who changed what, and who was refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from services.http import Response
from services.routes.base import Request, Route
from services.routes.query import limit, only_known, serial
from services.storage.base import AuditLine

PARAMETERS = ("after", "limit")
MOST_LISTED = 1000
DEFAULT_LISTED = 100
#: What OpenAPI tells of a page.
PAGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "audit": {"type": "array", "items": {"type": "object"}},
        "next": {"type": ["string", "null"]},
    },
}

Audits = Callable[[int | None, int], Awaitable[list[AuditLine]]]
"""The Recorder's ``audits``."""


class AuditRoutes:
    """The lines of the audit log that are on record, newest first."""

    def __init__(self, audits: Audits) -> None:
        self._audits = audits

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/audit", self.listed, "admin")]

    async def listed(self, request: Request) -> Response:
        """GET /v1/audit"""
        query = request.query()
        only_known(query, PARAMETERS)
        most = limit(query, default=DEFAULT_LISTED, most=MOST_LISTED)
        found = await self._audits(serial(query, "after"), most + 1)
        page = found[:most]
        following = str(page[-1].serial) if len(found) > most else None
        lines = [msgspec.Raw(line.document) for line in page]
        return Response(200, msgspec.json.encode({"audit": lines, "next": following}))
