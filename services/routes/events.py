"""``/v1/events``: what was decided of events, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from models.manifest import BundleError
from preprocessing.event import AuthEvent
from preprocessing.history import Evidence
from services.http import HttpError, Response
from services.pipeline import Pipeline
from services.routes.base import Request, Route
from services.storage.appending import manifest_checksum
from services.storage.base import Kept, Page, VerdictQuery
from services.storage.errors import StoreError

_EVIDENCE = msgspec.msgpack.Decoder(Evidence)


@dataclass(frozen=True, slots=True)
class Lookups:
    """What answers questions about past events; each is awaited.

    ``explain`` takes version, folder of its bundle, and float32 features as bytes.
    """

    event: Callable[[str], Awaitable[Kept | None]]
    page: Callable[[VerdictQuery], Awaitable[Page]]
    explain: Callable[[str, str, bytes], Awaitable[dict[str, Any]]]


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
        kept = await self._kept(request.params["id"])
        return Response(200, kept.verdict)

    async def explanation(self, request: Request) -> Response:
        """GET /v1/events/{id}/explanation"""
        method = request.query().get("method", "shap")
        if method != "shap":
            raise HttpError(422, "method", f"expected shap, got {method[:32]!r}")
        kept = await self._kept(request.params["id"])
        whole = {
            "verdict": msgspec.Raw(kept.verdict),
            "evidence": None if kept.evidence is None else told(kept.evidence),
            "explanation": await self._explained(kept),
        }
        return Response(200, msgspec.json.encode(whole))

    async def _kept(self, event_id: str) -> Kept:
        kept = self._pipeline.recent(event_id)
        if kept is None:
            try:
                kept = await self._lookups.event(event_id)
            except StoreError:
                message = "the verdict store cannot be read; the Recorder's log says why"
                raise HttpError(503, "store", message, retry_after_s=5) from None
        if kept is None:
            message = "no event of that id was scored, or its verdict is not kept any more"
            raise HttpError(404, "event_id", message)
        return kept

    async def _explained(self, kept: Kept) -> dict[str, Any]:
        if kept.values is None:
            message = (
                "only the verdict is kept of this event: features are kept of events over the "
                "threshold, of the rarest 1 %, and of the last ones scored"
            )
            raise HttpError(410, "event_id", message)
        if kept.manifest and await asyncio.to_thread(manifest_checksum, kept.path) != kept.manifest:
            raise _no_version(kept)
        try:
            return await self._lookups.explain(kept.version, kept.path, kept.values)
        except BundleError:
            raise _no_version(kept) from None


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
        "event was scored; put it back there"
    )
    return HttpError(410, "model_version", message)
