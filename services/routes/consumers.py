"""``/v1/consumers``: how the stream workers are, and closing their fuse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from services.http import HttpError, Response
from services.openapi_parts import BUSY, answers, ok, scope
from services.routes.base import Request, Route
from services.streaming.counts import State
from services.streaming.metrics import Told

LOG = logging.getLogger("ztad.metrics")

#: Stream workers have this long to tell what they count, seconds.
WORKERS_WITHIN_S = 1.0

Workers = Callable[[], Awaitable[list[Told]]]
"""Asks every stream worker what it counts."""


async def counted(workers: Workers) -> list[Told]:
    """What stream workers count; of none of them while one does not answer in time."""
    try:
        async with asyncio.timeout(WORKERS_WITHIN_S):
            return await workers()
    except Exception as error:  # noqa: BLE001 - whatever it is, the rest is told
        LOG.debug("the stream workers do not tell metrics: %s", type(error).__name__)
        return []


@dataclass(frozen=True, slots=True)
class ConsumerLookups:
    """The methods of the same names of every stream worker there is."""

    state: Callable[[], Awaitable[list[State]]]
    close_fuse: Callable[[], Awaitable[list[State]]]
    metrics: Workers


class ConsumerRoutes:
    """``lookups`` None: no stream is configured."""

    def __init__(self, lookups: ConsumerLookups | None) -> None:
        self._lookups = lookups

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/consumers", self.consumers),
            Route("POST", "/v1/consumers/resume", self.resume, "admin"),
        ]

    async def consumers(self, request: Request) -> Response:
        """GET /v1/consumers"""
        return _told(await self._known().state())

    async def resume(self, request: Request) -> Response:
        """POST /v1/consumers/resume"""
        return _told(await self._known().close_fuse())

    def _known(self) -> ConsumerLookups:
        if self._lookups is None:
            raise HttpError(404, "stream", "none is configured: ztad serve --kafka HOST:PORT")
        return self._lookups


def _told(states: list[State]) -> Response:
    return Response(200, msgspec.json.encode({"consumers": states}))


_STATES = {
    "type": "object",
    "properties": {
        "consumers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "worker": {"type": "string"},
                    "consumed": {"type": "integer"},
                    "lag": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "in_flight": {"type": "integer"},
                    "paused": {"type": "boolean"},
                    "fused": {"type": ["string", "null"]},
                    "trouble": {"type": ["string", "null"]},
                },
            },
        }
    },
}
_NONE = ("404", "no stream is configured")
PATHS: dict[str, Any] = {
    "/v1/consumers": {
        "get": {
            "summary": "How the workers that read from Kafka are",
            "responses": ok("one entry a worker", _STATES) | answers(_NONE, BUSY),
        }
    },
    "/v1/consumers/resume": {
        "post": {
            **scope("admin"),
            "summary": "Close the fuse of workers that it has stopped",
            "responses": ok("how they are now", _STATES) | answers(_NONE, BUSY),
        }
    },
}
