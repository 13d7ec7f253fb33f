"""Feedback through the whole graph in this process: given over HTTP, felt by later verdicts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.recorder import Recorder, RecorderArgs
from tests.graph.local import with_graph

JSON = {"content-type": "application/json"}


@pytest.fixture
def odd(training_events: list[AuthEvent]) -> AuthEvent:
    """An event of a well-known user, from elsewhere and with another machine."""
    last = max(event.timestamp for event in training_events)
    ((user, _),) = Counter(event.user_id for event in training_events).most_common(1)
    like = next(one for one in training_events if one.user_id == user)
    return msgspec.structs.replace(
        like, event_id="odd", timestamp=last + timedelta(days=3), device_id="unheard of",
        source_ip="203.0.113.77", country="NZ", city="Wellington", latitude=-41.3,
        longitude=174.8, asn=64500, user_agent="curl/8.0", resource="vault", outcome="success",
        session_id=None, action="access", bytes_transferred=None, auth_method="password", mfa=False,
    )  # fmt: skip


def again(event: AuthEvent, name: str, days: float, **change: Any) -> AuthEvent:
    at = event.timestamp + timedelta(days=days)
    changed: AuthEvent = msgspec.structs.replace(event, event_id=name, timestamp=at, **change)
    return changed


async def scored(client: httpx.AsyncClient, event: AuthEvent) -> dict[str, Any]:
    answer = await client.post("/v1/score", content=encode_event(event), headers=JSON)
    assert answer.status_code == 200
    verdict: dict[str, Any] = answer.json()
    return verdict


async def say(client: httpx.AsyncClient, event_id: str, what: str, comment: str = "") -> Any:
    """Given once the Recorder has the event: until then it is not known there."""
    given = {"event_id": event_id, "disposition": what, "comment": comment}
    async with asyncio.timeout(30):
        while True:
            answer = await client.post("/v1/feedback", json=given)
            if answer.status_code != 404:
                break
            await asyncio.sleep(0.01)
    assert answer.status_code == 201
    assert answer.json()["applied"] is True
    return answer.json()


async def alerted(client: httpx.AsyncClient, least: int) -> list[dict[str, Any]]:
    """The alerts, once there are events enough in them."""
    async with asyncio.timeout(30):
        while True:
            found: list[dict[str, Any]] = (await client.get("/v1/alerts")).json()["alerts"]
            if sum(alert["events"] for alert in found) >= least:
                return found
            await asyncio.sleep(0.01)


Talk = Callable[[httpx.AsyncClient], Awaitable[None]]


def test_safe_and_its_undoing(bundle: Bundle, odd: AuthEvent) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        assert (await scored(client, odd))["is_anomaly"]
        assert (await scored(client, again(odd, "a", 0.5)))["is_anomaly"]  # the same alarms
        await alerted(client, 1)
        said = await say(client, "odd", "safe", "new office")
        (alert,) = await alerted(client, 1)
        assert (alert["status"], alert["note"]) == ("acknowledged", "safe: new office")
        assert not (await scored(client, again(odd, "b", 7)))["is_anomaly"]
        undone = await client.delete(f"/v1/feedback/{said['id']}")
        assert (undone.status_code, undone.json()["disposition"]) == (200, "undo")
        twice = await client.delete(f"/v1/feedback/{said['id']}")
        assert twice.status_code == 409
        listed = (await client.get(f"/v1/feedback?user={odd.user_id}")).json()["feedback"]
        assert [one["disposition"] for one in listed] == ["undo", "safe"]
        assert listed[1]["by"] == "anyone"

    with_graph(bundle, talk)


def test_compromised_flags_what_the_attacker_does_next(bundle: Bundle, odd: AuthEvent) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        await scored(client, odd)
        await say(client, "odd", "compromised")
        later = await scored(client, again(odd, "b", 20, source_ip=None, resource="mail"))
        assert later["is_anomaly"]
        assert later["reasons"][0]["code"] == "known_attacker"
        await say(client, "odd", "undo")
        later = await scored(client, again(odd, "c", 21, source_ip=None, resource="mail"))
        assert "known_attacker" not in [reason["code"] for reason in later["reasons"]]

    with_graph(bundle, talk)


def test_benign_true_closes_the_alert_and_keeps_silence(bundle: Bundle, odd: AuthEvent) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        await scored(client, odd)
        await alerted(client, 1)
        said = await say(client, "odd", "benign_true", "pen test")
        assert (await alerted(client, 1))[0]["status"] == "acknowledged"
        (silence,) = (await client.get("/v1/silences")).json()["silences"]
        assert silence["silence_id"] == f"feedback-{said['id']}"
        assert silence["matchers"]["users"] == [odd.user_id]
        assert silence["matchers"]["no_other_reason"] is True
        assert (await scored(client, again(odd, "b", 0.1)))["is_anomaly"]
        await client.delete(f"/v1/feedback/{said['id']}")
        assert (await client.get("/v1/silences")).json()["silences"] == []

    with_graph(bundle, talk)


def test_a_history_begun_anew_hears_all_of_it(bundle: Bundle, odd: AuthEvent) -> None:
    recorder = Recorder(RecorderArgs())

    async def first(client: httpx.AsyncClient) -> None:
        await scored(client, odd)
        await say(client, "odd", "safe")

    async def second(client: httpx.AsyncClient) -> None:
        await say(client, "odd", "safe")  # and with it whatever was not heard
        assert not (await scored(client, again(odd, "b", 7)))["is_anomaly"]

    async def third(client: httpx.AsyncClient) -> None:
        assert (await scored(client, again(odd, "c", 7)))["is_anomaly"]

    async def both() -> None:
        from services.local import local_gateway
        from tests.graph.local import client_of

        for talk in (first, second):
            app = local_gateway(bundle, recorder=recorder)
            app.start()
            async with client_of(app) as client:
                await talk(client)

    asyncio.run(both())
    with_graph(bundle, third)  # without it, the same alarms


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"event_id": "no such", "disposition": "safe"}, 404, "event_id"),
        ({"event_id": "odd", "disposition": "fine"}, 422, "body"),
        ({"event_id": "odd", "disposition": "safe", "who": "me"}, 422, "body"),
        ({"event_id": "odd", "disposition": "safe", "comment": "x" * 1001}, 422, "comment"),
    ],
)
def test_what_cannot_be_is_refused(
    bundle: Bundle, given: dict[str, str], status: int, field: str
) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/feedback", content=json.dumps(given), headers=JSON)
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)
        for query in ("who=me", "limit=0", "after=x"):
            assert (await client.get(f"/v1/feedback?{query}")).status_code == 422
        assert (await client.delete("/v1/feedback/7")).status_code == 404

    with_graph(bundle, talk)
