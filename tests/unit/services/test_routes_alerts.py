"""``/v1/alerts`` and ``/v1/silences``: parameters, bodies, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlencode

import pytest

from alerting.log import AlertQuery, Matchers, Silence
from services.http import HttpError, Response
from services.routes.alerts import AlertLookups, AlertRoutes, asked, new_silence
from services.routes.base import Request, Router
from tests.unit.alerting.making import NOW_S


class Recorder:
    """Answers what it was asked; knows the ids ``a1`` and ``s1``."""

    async def alerts(self, query: AlertQuery) -> bytes:
        return json.dumps({"asked": query.user}).encode()

    async def alert(self, alert_id: str) -> bytes | None:
        return b'{"alert_id":"a1"}' if alert_id == "a1" else None

    async def acknowledge(self, alert_id: str, by: str, note: str) -> bytes | None:
        return json.dumps([by, note]).encode() if alert_id == "a1" else None

    async def silences(self) -> bytes:
        return b'{"silences":[]}'

    async def silence(self, silence: Silence) -> bytes:
        return json.dumps([silence.created_by, silence.until_s]).encode()

    async def end_silence(self, silence_id: str, now_s: float) -> bytes | None:
        return b"{}" if silence_id == "s1" else None


def call(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    query: dict[str, str] | None = None,
    kind: bytes = b"application/json",
    caller: str = "",
) -> Response:
    recorder = Recorder()
    lookups = AlertLookups(
        recorder.alerts, recorder.alert, recorder.acknowledge, recorder.silences,
        recorder.silence, recorder.end_silence,
    )  # fmt: skip
    router = Router(AlertRoutes(lookups, now=lambda: NOW_S).routes())
    scope = {
        "type": "http", "method": method, "path": path, "headers": [(b"content-type", kind)],
        "query_string": urlencode(query or {}).encode(),
    }  # fmt: skip

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def talk() -> Response:
        route, params = router.find(method, path)
        request = Request(scope, receive, "0" * 32, None, caller=caller, params=params)
        answer = await route.handle(request)
        assert isinstance(answer, Response)
        return answer

    return asyncio.run(talk())


def refused(*args: Any, **more: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as raised:
        call(*args, **more)
    return raised.value.status, raised.value.field


def test_every_parameter_is_understood() -> None:
    query = {
        "severity": "high", "user": "ann", "reason": "impossible_travel", "status": "open",
        "channel": "soc", "delivery": "failed", "address": "203.0.113.9",
        "since": "2026-11-22T08:00:00Z",
        "until": "2026-11-22T10:00:00+01:00", "after": "12.5_a1", "limit": "7",
    }  # fmt: skip
    assert asked(query) == AlertQuery(
        severity_at_least="high", user="ann", reason="impossible_travel", status="open",
        channel="soc", delivery="failed", address="203.0.113.9",
        since_s=NOW_S, until_s=NOW_S + 3600,
        after=(12.5, "a1"), limit=7,
    )  # fmt: skip
    assert asked({}) == AlertQuery()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("severity", "hgih"), ("status", "closed"), ("delivery", "lost"),
        ("since", "yesterday"), ("until", "2026-11-22T08:00:00"), ("limit", "0"),
        ("limit", "201"), ("limit", "1e9"), ("limit", "9" * 5000), ("after", "a1"),
        ("after", "nan_a1"), ("after", "1.5_"), ("usr", "ann"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(HttpError) as raised:
        asked({name: value})
    assert (raised.value.status, raised.value.field) == (422, name)


def test_a_plus_nobody_encoded_is_an_offset_still() -> None:
    assert asked({"since": "2026-11-22T09:00:00 01:00"}).since_s == NOW_S


def test_alerts_are_listed_and_shown() -> None:
    assert call("GET", "/v1/alerts", query={"user": "ann"}).body == b'{"asked": "ann"}'
    assert call("GET", "/v1/alerts/a1").body == b'{"alert_id":"a1"}'
    assert refused("GET", "/v1/alerts/a2") == (404, "alert_id")


def test_acknowledging_says_who() -> None:
    assert call("POST", "/v1/alerts/a1/ack", caller="bob").body == b'["bob", ""]'
    noted = call("POST", "/v1/alerts/a1/ack", b'{"note": "calls her"}')
    assert noted.body == b'["anyone", "calls her"]'
    assert refused("POST", "/v1/alerts/a2/ack") == (404, "alert_id")
    assert refused("POST", "/v1/alerts/a1/ack", b'{"not": 1}') == (422, "body")
    assert refused("POST", "/v1/alerts/a1/ack", b'{"note": "%s"}' % (b"x" * 1001)) == (422, "note")
    assert refused("POST", "/v1/alerts/a1/ack", b"{}", kind=b"text/plain") == (415, "content-type")


def test_a_silence_begins_now() -> None:
    body = json.dumps({"matchers": {"users": ["ann"]}, "duration": "2h", "comment": "travels"})
    made = call("POST", "/v1/silences", body.encode(), caller="bob")
    assert made.status == 201
    assert json.loads(made.body) == ["bob", NOW_S + 7200]
    assert call("GET", "/v1/silences").body == b'{"silences":[]}'
    assert call("DELETE", "/v1/silences/s1").status == 200
    assert refused("DELETE", "/v1/silences/s2") == (404, "silence_id")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"matchers": {}}, "matchers"),
        ({"matchers": {"reasons": ["impossible_travl"]}}, "matchers"),
        ({"matchers": {"addresses": ["10.0.0.300"]}}, "matchers"),
        ({"matchers": {"usr": ["ann"]}}, "body"),
        ({"duration": "31d"}, "duration"),
        ({"duration": 0}, "body"),
        ({"duration": "soon"}, "duration"),
        ({"comment": " "}, "comment"),
        ({"comment": "x" * 1001}, "comment"),
        ({"forever": True}, "body"),
    ],
)
def test_a_silence_that_cannot_be_meant_is_refused(changed: dict[str, Any], field: str) -> None:
    body = {"matchers": {"users": ["ann"]}, "duration": "2h", "comment": "travels"} | changed
    assert refused("POST", "/v1/silences", json.dumps(body).encode()) == (422, field)


def test_silences_have_ids_of_their_own() -> None:
    made = {
        new_silence(
            Matchers(users=("ann",)), duration="1h", comment="why", by="bob", now_s=NOW_S
        ).silence_id
        for _ in range(50)
    }
    assert len(made) == 50


def test_changing_things_takes_more_than_reading() -> None:
    recorder = Recorder()
    lookups = AlertLookups(
        recorder.alerts, recorder.alert, recorder.acknowledge, recorder.silences,
        recorder.silence, recorder.end_silence,
    )  # fmt: skip
    access = {(route.method, route.path): route.access for route in AlertRoutes(lookups).routes()}
    assert {key for key, needed in access.items() if needed == "read"} == {
        ("GET", "/v1/alerts"), ("GET", "/v1/alerts/{id}"), ("GET", "/v1/silences"),
    }  # fmt: skip
