"""``/v1/stream``: verdicts over the threshold as they are recorded, as server-sent events."""

from __future__ import annotations

from collections.abc import Callable

from alerting.alert import SEVERITY_ORDER, rank
from services.feed import MOST_LISTENERS, Feed
from services.http import HttpError, Stream, header
from services.routes.base import Request, Route
from services.routes.query import choice, only_known
from services.storage.base import Flagged

PARAMETERS = ("severity", "user")
#: Seconds after which a client that found no place may come again.
RETRY_S = 30


class VerdictStream:
    """One feed for all clients of this gateway."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/stream", self.stream)]

    async def stream(self, request: Request) -> Stream:
        """GET /v1/stream"""
        query = request.query()
        only_known(query, PARAMETERS)
        wanted = _wanted(choice(query, "severity", SEVERITY_ORDER), query.get("user"))
        after = _last_event_id(request)
        if self._feed.full:
            message = f"{MOST_LISTENERS} clients are listening to this gateway already"
            raise HttpError(503, "stream", message, retry_after_s=RETRY_S)
        return Stream(self._feed.listen(after, wanted))


def _wanted(severity: str | None, user: str | None) -> Callable[[Flagged], bool]:
    least = SEVERITY_ORDER.index(severity) if severity in SEVERITY_ORDER else 0

    def wanted(flagged: Flagged) -> bool:
        return rank(flagged.severity) >= least and user in (None, flagged.user_id)

    return wanted


def _last_event_id(request: Request) -> int | None:
    given = header(request.scope, b"last-event-id")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 18:
        raise HttpError(422, "last-event-id", "expected the id of an event of this stream")
    return int(given)
