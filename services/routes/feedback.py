"""``/v1/feedback``: what analysts say of events, and who has to hear it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from alerting.document import instant as written
from preprocessing.feedback import Disposition, Feedback
from services.http import JSON, HttpError, Response
from services.opinions import Superseded
from services.routes.base import Request, Route
from services.routes.query import limit, only_known, serial
from services.storage.base import Opinion

LOG = logging.getLogger("ztad.gateway")

PARAMETERS = ("user", "event", "after", "limit")
MOST_LISTED = 1000
DEFAULT_LISTED = 50
#: How often a gateway looks for feedback that the history has not heard, seconds.
FOLLOW_S = 2.0
#: The history has this long to answer, seconds.
DEADLINE_S = 5.0


#: The document of a ``POST``, and what it does, as OpenAPI tells it.
FEEDBACK: dict[str, Any] = {
    "type": "object",
    "required": ["event_id", "disposition"],
    "properties": {
        "event_id": {"type": "string"},
        "disposition": {"enum": ["compromised", "safe", "benign_true", "undo"]},
        "comment": {"type": "string", "maxLength": 1000},
    },
}
EFFECTS = (
    "compromised: from 7 days before the event until 30 days after it, events of its user from the "
    "same device, address or session are never learned, what was learned of them is taken out, and "
    "they are flagged with the reason known_attacker. safe: the event joins the baseline with "
    "weight, flagged events like it within a day join too, and its alert is closed. benign_true: "
    "nothing is learned, its alert is closed, and for 30 days its user is not alerted for the same "
    "reason; scoring keeps its judgement. undo takes the last word on the event back. What is "
    "said takes the place of what was said before; applied tells whether the history has heard it."
)


@dataclass(frozen=True, slots=True)
class FeedbackLookups:
    """The Recorder's methods of the same names, and ``correct`` of the Preprocessor."""

    give_feedback: Callable[[str, Disposition | None, str, str], Awaitable[Opinion | None]]
    undo_feedback: Callable[[int, str], Awaitable[Opinion | None]]
    feedback: Callable[[str | None, str | None, int | None, int], Awaitable[list[Opinion]]]
    feedback_after: Callable[[int], Awaitable[list[Feedback]]]
    correct: Callable[[Sequence[Feedback]], Awaitable[int]]


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``POST /v1/feedback`` takes."""

    event_id: str
    disposition: Literal["compromised", "safe", "benign_true", "undo"]
    comment: str = ""


class FeedbackRoutes:
    """Takes, lists and takes back feedback. Run ``follow`` in the background.

    ``unheard`` is told 1 when the history could not be told what was said, and 0 when it was.
    """

    def __init__(
        self, lookups: FeedbackLookups, unheard: Callable[[float], None] = lambda value: None
    ) -> None:
        self._lookups = lookups
        self._unheard = unheard
        self._heard = 0

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/feedback", self.give, "admin"),
            Route("GET", "/v1/feedback", self.listed),
            Route("DELETE", "/v1/feedback/{id}", self.undo, "admin"),
        ]

    async def give(self, request: Request) -> Response:
        """POST /v1/feedback"""
        body = await request.body()
        if request.media_type() != JSON:
            raise HttpError(415, "content-type", "expected application/json")
        try:
            given = msgspec.json.decode(body, type=_Given)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HttpError(422, "body", str(error)[:300]) from None
        if len(given.comment) > 1000:
            raise HttpError(422, "comment", "expected at most 1,000 characters")
        wanted = None if given.disposition == "undo" else given.disposition
        by = request.caller or "anyone"
        request.params["id"] = f"{given.event_id} {given.disposition}"  # for the audit log
        said = await self._lookups.give_feedback(given.event_id, wanted, by, given.comment)
        if said is None:
            raise HttpError(404, "event_id", "no verdict of that event, or not kept any more")
        return await self._answered(201, said)

    async def undo(self, request: Request) -> Response:
        """DELETE /v1/feedback/{id}"""
        text = request.params["id"]
        serial = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
        try:
            said = await self._lookups.undo_feedback(serial, request.caller or "anyone")
        except Superseded as error:
            raise HttpError(409, "id", str(error)) from None
        if said is None:
            raise HttpError(404, "id", "no feedback of that id")
        return await self._answered(200, said)

    async def listed(self, request: Request) -> Response:
        """GET /v1/feedback"""
        query = request.query()
        only_known(query, PARAMETERS)
        most = limit(query, default=DEFAULT_LISTED, most=MOST_LISTED)
        place = serial(query, "after")
        found = await self._lookups.feedback(query.get("user"), query.get("event"), place, most + 1)
        page = found[:most]
        following = str(page[-1].serial) if len(found) > most else None
        told = {"feedback": [_document(one) for one in page], "next": following}
        return Response(200, msgspec.json.encode(told))

    async def follow(self) -> None:
        """For as long as the gateway runs: have the history hear what it has not heard."""
        while True:
            try:
                await self._catch_up()
            except Exception:  # scoring and the next attempt go on
                LOG.warning("the history has not heard all feedback yet", exc_info=True)
            await asyncio.sleep(FOLLOW_S)

    async def _answered(self, status: int, said: Opinion) -> Response:
        try:
            await self._catch_up()
        except Exception as error:  # noqa: BLE001 - it is on record; ``follow`` goes on
            LOG.warning("feedback %d waits for the history: %r", said.serial, error)
        told = _document(said) | {"applied": self._heard >= said.serial}
        return Response(status, msgspec.json.encode(told))

    async def _catch_up(self) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                self._heard = await self._lookups.correct(())
                while new := await self._lookups.feedback_after(self._heard):
                    self._heard = await self._lookups.correct(new)
        except Exception:
            self._unheard(1.0)
            raise
        self._unheard(0.0)


def _document(said: Opinion) -> dict[str, Any]:
    return {
        "id": str(said.serial),
        "event_id": said.event_id,
        "user_id": said.user_id,
        "disposition": said.disposition or "undo",
        "at": written(said.at_s),
        "by": said.by,
        "comment": said.comment,
    }
