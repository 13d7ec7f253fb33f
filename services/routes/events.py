"""``/v1/events``: what was decided of events, and why."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from alerting.alert import SEVERITY_ORDER
from ensemble.explain.methods import METHODS, Method
from models.manifest import BundleError
from preprocessing.event import AuthEvent, encode_event
from preprocessing.history import Evidence
from services.http import HttpError, Response
from services.pipeline import Pipeline
from services.routes.base import Request, Route
from services.routes.query import choice, instant, limit, only_known
from services.storage.appending import manifest_checksum
from services.storage.base import Kept, Page, VerdictQuery
from services.storage.errors import TooLong
from services.wire import Question

PARAMETERS = ("since", "until", "user", "address", "severity", "reason", "version", "anomaly",
              "after", "limit")  # fmt: skip
MOST_EVENTS = 1000
DEFAULT_EVENTS = 100
_EVIDENCE = msgspec.msgpack.Decoder(Evidence)
_EVENT = msgspec.msgpack.Decoder(AuthEvent)


@dataclass(frozen=True, slots=True)
class Lookups:
    """What the Recorder and the Explainer answer.

    ``explain`` raises ``BundleError`` when the version cannot be loaded any more.
    """

    event: Callable[[str], Awaitable[Kept | None]]
    page: Callable[[VerdictQuery], Awaitable[Page]]
    explain: Callable[[Question], Awaitable[dict[str, Any]]]


class Events:
    """Verdicts on their way to the Recorder first, then the Recorder's.

    ``fetched`` gives the folder of a version among those that were fetched.
    """

    def __init__(
        self, pipeline: Pipeline, lookups: Lookups, fetched: Callable[[str], Path | None]
    ) -> None:
        self._pipeline = pipeline
        self._lookups = lookups
        self._fetched = fetched

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/events", self.events),
            Route("GET", "/v1/events/{id}", self.event),
            Route("GET", "/v1/events/{id}/event", self.as_it_came),
            Route("GET", "/v1/events/{id}/explanation", self.explanation),
        ]

    async def events(self, request: Request) -> Response:
        """GET /v1/events"""
        query = asked(request.query())
        try:
            page = await self._lookups.page(query)
        except TooLong:
            message = "there is too much to look through; say since when, or a user or an address"
            raise HttpError(422, "since", message) from None
        after = None if page.after is None else f"{page.after[0]!r}_{page.after[1]}"
        verdicts = [msgspec.Raw(verdict) for verdict in page.verdicts]
        return Response(200, msgspec.json.encode({"verdicts": verdicts, "next": after}))

    async def event(self, request: Request) -> Response:
        """GET /v1/events/{id}"""
        kept = await self._kept(request.params["id"])
        return Response(200, kept.verdict)

    async def as_it_came(self, request: Request) -> Response:
        """GET /v1/events/{id}/event"""
        event = _event(await self._kept(request.params["id"]))
        if event is None:
            message = (
                "the event as it came is not kept any more: of events under the threshold it is "
                "kept for recorder.most_event_days"
            )
            raise HttpError(410, "event_id", message)
        return Response(200, encode_event(event))

    async def explanation(self, request: Request) -> Response:
        """GET /v1/events/{id}/explanation"""
        method = choice(request.query(), "method", METHODS) or METHODS[0]
        kept = await self._kept(request.params["id"])
        whole = {
            "verdict": msgspec.Raw(kept.verdict),
            "event": _event(kept),
            "evidence": None if kept.evidence is None else told(kept.evidence),
            "explanation": await self._explained(cast(Method, method), kept),
        }
        return Response(200, msgspec.json.encode(whole))

    async def _kept(self, event_id: str) -> Kept:
        kept = self._pipeline.recent(event_id) or await self._lookups.event(event_id)
        if kept is None:
            message = "no event of that id was scored, or its verdict is not kept any more"
            raise HttpError(404, "event_id", message)
        return kept

    async def _explained(self, method: Method, kept: Kept) -> dict[str, Any]:
        if kept.values is None:
            message = (
                "only the verdict is kept of this event: features are kept of events over the "
                "threshold, of the rarest 1 %, and of the last ones scored"
            )
            raise HttpError(410, "event_id", message)
        path = await asyncio.to_thread(self._folder, kept)
        try:
            return await self._lookups.explain(
                Question(method, kept.version, path, kept.verdict, kept.values, kept.evidence)
            )
        except BundleError:
            raise _no_version(kept) from None

    def _folder(self, kept: Kept) -> str:
        """The bundle that judged an event: where it was then, or among those that were fetched.

        Whoever trains into the same folder again replaces the bundle there.
        """
        if not kept.manifest:
            return kept.path
        fetched = self._fetched(kept.version)
        for path in (kept.path, *([] if fetched is None else [str(fetched)])):
            if manifest_checksum(path) == kept.manifest:
                return path
        raise _no_version(kept)


def asked(query: dict[str, str]) -> VerdictQuery:
    """The parameters of ``GET /v1/events``; raises 422 naming the one at fault."""
    only_known(query, PARAMETERS)
    anomaly = choice(query, "anomaly", ("true", "false"))
    given: dict[str, Any] = {
        "since_s": instant(query, "since"),
        "until_s": instant(query, "until"),
        "user": query.get("user"),
        "address": query.get("address"),
        "severity_at_least": choice(query, "severity", SEVERITY_ORDER),
        "reason": query.get("reason"),
        "version": query.get("version"),
        "anomaly": None if anomaly is None else anomaly == "true",
        "after": _after(query),
        "limit": limit(query, default=DEFAULT_EVENTS, most=MOST_EVENTS),
    }
    return VerdictQuery(**given)


def _after(query: dict[str, str]) -> tuple[float, int] | None:
    if "after" not in query:
        return None
    at, _, place = query["after"].partition("_")
    try:
        cursor = float(at), int(place[:18])
    except ValueError:
        cursor = math.nan, 0
    if not math.isfinite(cursor[0]):
        raise HttpError(422, "after", "expected what the page before gave as next")
    return cursor


def _event(kept: Kept) -> AuthEvent | None:
    """The event as it came, if that is kept."""
    if kept.event is not None:
        return _EVENT.decode(kept.event)
    return None if kept.evidence is None else _EVIDENCE.decode(kept.evidence).event


def told(evidence: bytes) -> dict[str, Any]:
    """The event, and the baseline of its user when it was scored.

    ``usual`` says per field which value was the commonest, how often (``count`` of ``total``
    events that had one), and how often the observed one had been seen (``observed``).
    """
    known = _EVIDENCE.decode(evidence)
    event: AuthEvent = known.event
    place = known.place
    return {
        "event": event,
        "baseline": {
            "events": known.events,
            "days": known.days,
            "usual": {
                name: {
                    "value": usual.value,
                    "count": usual.count,
                    "total": usual.total,
                    "observed": usual.observed,
                }
                for name, usual in known.usual.items()
            },
            "hours": known.hours,
            "usual_bytes": known.usual_bytes,
            "last_place": None if place is None else msgspec.structs.asdict(place),
        },
    }


def _no_version(kept: Kept) -> HttpError:
    message = (
        f"the bundle of version {kept.version} is not at {kept.path} any more as it was when this "
        "event was scored; put it back there, or have it fetched (ztad models fetch)"
    )
    return HttpError(410, "model_version", message)
