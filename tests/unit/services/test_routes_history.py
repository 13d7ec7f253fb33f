"""``/v1/models/comparison`` and ``/v1/routing/history``, over a Recorder in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.http import HttpError
from services.recorder import Recorder, RecorderArgs
from services.routes.base import Request
from services.routes.history import HistoryLookups, HistoryRoutes
from services.storage.errors import TooLong
from tests.unit.services.storage.batches import batch, verdict

NOW_S = 1000.0 + 86400.0


def asked(query: str) -> Request:
    scope = {"type": "http", "query_string": query.encode(), "headers": []}

    async def receive() -> dict[str, Any]:
        raise AssertionError("there is no body")

    return Request(scope, receive, "", None)


def answer(name: str, query: str) -> Any:
    """What a route answers once a shadow has watched two events and two routings were set."""

    async def run() -> Any:
        recorder = Recorder(RecorderArgs())
        watched = [verdict("a", "low", "off_hours_login"), verdict("b")]
        shadow = batch(*watched, shadow=True, version="v2")
        live = batch(verdict("a"), verdict("b", "high", "impossible_travel"))
        await recorder.record([live, shadow])
        await recorder.save_routing(b'{"champion":1}', "kim", "changed")
        await recorder.save_routing(b'{"champion":2}', "lee", "changed")
        lookups = HistoryLookups(recorder.compare, recorder.disagreements, recorder.routing_history)
        try:
            routes = HistoryRoutes(lookups, now=lambda: NOW_S)
            response = await getattr(routes, name)(asked(query))
        finally:
            recorder.close()
        return httpx.Response(response.status, content=response.body).json()

    return asyncio.run(run())


def test_a_shadow_version_against_what_was_answered() -> None:
    assert answer("comparison", "version=v2&since=1970-01-01T00:00:00Z") == {
        "version": "v2",
        "since": "1970-01-01T00:00:00.000Z",
        "both": 0,
        "only_live": 1,
        "only_shadow": 1,
        "neither": 0,
        "unmatched": 0,
        "only_live_reasons": {"impossible_travel": 1},
        "only_shadow_reasons": {"off_hours_login": 1},
        "events": [
            {
                "event_id": "b",
                "at": "1970-01-01T00:16:41.000Z",
                "live": {"severity": "high", "reason": "impossible_travel"},
                "shadow": {"severity": "info", "reason": None},
            },
            {
                "event_id": "a",
                "at": "1970-01-01T00:16:40.000Z",
                "live": {"severity": "info", "reason": None},
                "shadow": {"severity": "low", "reason": "off_hours_login"},
            },
        ],
    }


def test_without_a_time_the_last_day_is_compared() -> None:
    """The first of the two events is just within it."""
    told = answer("comparison", "version=v2&limit=1")
    assert (told["only_live"], told["only_shadow"], len(told["events"])) == (1, 1, 1)
    assert answer("comparison", "version=v2&since=1970-01-01T00:16:41Z")["only_shadow"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "version"), ("version=v2&since=monday", "since"), ("version=v2&user=ann", "user")],
)
def test_what_cannot_be_meant_is_refused(query: str, field: str) -> None:
    with pytest.raises(HttpError) as refused:
        answer("comparison", query)
    assert (refused.value.status, refused.value.field) == (422, field)


def test_too_much_to_compare() -> None:
    async def too_long(*args: object) -> Any:
        raise TooLong("verdicts.db", "takes too long", "ask for less")

    routes = HistoryRoutes(HistoryLookups(too_long, too_long, too_long))
    with pytest.raises(HttpError, match="give a later time") as refused:
        asyncio.run(routes.comparison(asked("version=v2")))
    assert (refused.value.status, refused.value.field) == (422, "since")


def test_the_routings_that_were_in_force() -> None:
    told = answer("history", "")["routings"]
    assert [(each["revision"], each["by"], each["routing"]) for each in told] == [
        (2, "lee", {"champion": 2}),
        (1, "kim", {"champion": 1}),
    ]
    assert len(answer("history", "limit=1")["routings"]) == 1
