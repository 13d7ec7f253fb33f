"""``/v1/models/comparison`` and ``/v1/routing/history``: what the record says of versions."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from alerting.document import instant as written
from services.http import HttpError, Response
from services.routes.base import Request, Route
from services.routes.query import instant, limit, only_known
from services.storage.base import Comparison, Disagreement, RoutingEntry
from services.storage.errors import TooLong

COMPARISON_PARAMETERS = ("version", "since", "limit")
HISTORY_PARAMETERS = ("limit",)
MOST_LISTED = 1000
DEFAULT_LISTED = 50
#: Without ``since`` the last day is compared, seconds.
DEFAULT_SINCE_S = 86400.0


@dataclass(frozen=True, slots=True)
class HistoryLookups:
    """The Recorder's methods of the same names."""

    compare: Callable[[str, float], Awaitable[Comparison]]
    disagreements: Callable[[str, float, int], Awaitable[list[Disagreement]]]
    routing_history: Callable[[int], Awaitable[list[RoutingEntry]]]


class HistoryRoutes:
    """A shadow version against what was answered, and every routing that was in force."""

    def __init__(self, lookups: HistoryLookups, now: Callable[[], float] = time.time) -> None:
        self._lookups = lookups
        self._now = now

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/models/comparison", self.comparison),
            Route("GET", "/v1/routing/history", self.history),
        ]

    async def comparison(self, request: Request) -> Response:
        """GET /v1/models/comparison"""
        query = request.query()
        only_known(query, COMPARISON_PARAMETERS)
        version = query.get("version")
        if not version:
            raise HttpError(422, "version", "expected the version that watches, or watched")
        since_s = instant(query, "since")
        if since_s is None:
            since_s = self._now() - DEFAULT_SINCE_S
        listed = limit(query, default=DEFAULT_LISTED, most=MOST_LISTED)
        try:
            counts = await self._lookups.compare(version, since_s)
            events = await self._lookups.disagreements(version, since_s, listed)
        except TooLong:
            message = "there is too much to compare; give a later time"
            raise HttpError(422, "since", message) from None
        told = {"version": version, "since": written(since_s), **_counts(counts)}
        return Response(200, msgspec.json.encode(told | {"events": [_event(e) for e in events]}))

    async def history(self, request: Request) -> Response:
        """GET /v1/routing/history"""
        query = request.query()
        only_known(query, HISTORY_PARAMETERS)
        listed = limit(query, default=DEFAULT_LISTED, most=MOST_LISTED)
        entries = await self._lookups.routing_history(listed)
        routings = [
            {
                "revision": entry.revision,
                "at": written(entry.at_s),
                "by": entry.by,
                "note": entry.note,
                "routing": msgspec.Raw(entry.document),
            }
            for entry in entries
        ]
        return Response(200, msgspec.json.encode({"routings": routings}))


def _counts(counts: Comparison) -> dict[str, Any]:
    return {
        "both": counts.both,
        "only_live": counts.only_live,
        "only_shadow": counts.only_shadow,
        "neither": counts.neither,
        "unmatched": counts.unmatched,
        "only_live_reasons": counts.live_reasons,
        "only_shadow_reasons": counts.shadow_reasons,
    }


def _event(event: Disagreement) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "at": written(event.at_s),
        "live": {"severity": event.live_severity, "reason": event.live_reason},
        "shadow": {"severity": event.shadow_severity, "reason": event.shadow_reason},
    }
