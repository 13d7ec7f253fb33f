"""From an event over HTTP to its alert at a webhook, through the whole graph and its files."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.local import local_gateway
from services.recorder import Recorder, RecorderArgs
from tests.graph.local import client_of
from tests.unit.alerting.servers import WebServer

T = TypeVar("T")

NDJSON = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}
KEY = "correct horse battery staple"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("HOOK_KEY", KEY)
    server = WebServer()
    yield server
    server.close()


def rules(hook: WebServer) -> str:
    """Everything goes to the webhook, at once."""
    return (
        f"channels: {{hook: {{type: webhook, url: 'http://127.0.0.1:{hook.port}/', "
        "secret: '${HOOK_KEY}', plain_http: true, rate: {most: 10000}}}\n"
        "otherwise: [hook]\n"
        "grouping: {wait: {low: 0s, medium: 0s, high: 0s, critical: 0s}, interval: 0s}\n"
        "inhibit: false\n"
        "retry: {first: 0s}\n"
    )


def with_alerts(
    folder: Path, bundle: Bundle, talk: Callable[[httpx.AsyncClient], Awaitable[T]]
) -> T:
    """Talk to a graph with a store and alert rules in a folder; it is stopped afterwards."""

    async def run() -> T:
        args = RecorderArgs(store_dir=str(folder), alert_rules=str(folder / "alerts.yaml"))
        recorder = Recorder(args)
        try:
            app = local_gateway(bundle, recorder=recorder)
            app.start()
            async with asyncio.timeout(60), client_of(app) as client:
                return await talk(client)
        finally:
            recorder.close()

    return asyncio.run(run())


async def scored(client: httpx.AsyncClient, events: list[AuthEvent]) -> list[dict[str, Any]]:
    content = b"\n".join(encode_event(event) for event in events)
    answer = await client.post("/v1/score/batch", content=content, headers=NDJSON)
    return [json.loads(line) for line in answer.content.splitlines()]


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await happened():
            return
        await asyncio.sleep(0.01)


async def queue(client: httpx.AsyncClient, **asked: str) -> list[dict[str, Any]]:
    answer = await client.get("/v1/alerts", params={"limit": "200", **asked})
    alerts: list[dict[str, Any]] = answer.json()["alerts"]
    return alerts


def event_ids(hook: WebServer) -> set[str]:
    """The events in all alerts that arrived."""
    bodies = [json.loads(each.body) for each in hook.received]
    chains = [told["chain"] for body in bodies for told in body["alerts"]]
    return {each["verdict"]["event_id"] for chain in chains for each in chain}


def test_every_flagged_event_is_in_an_alert_that_arrived(
    bundle: Bundle, fresh_events: list[AuthEvent], hook: WebServer, tmp_path: Path
) -> None:
    (tmp_path / "alerts.yaml").write_text(rules(hook))

    async def talk(client: httpx.AsyncClient) -> set[str]:
        verdicts = await scored(client, fresh_events[:300])
        flagged = {each["event_id"] for each in verdicts if each["is_anomaly"]}

        async def arrived() -> bool:
            alerts = await queue(client)
            return sum(each["events"] for each in alerts) == len(flagged) and all(
                each["told_at"] for each in alerts
            )

        await until(arrived)
        seen: set[str] = set()
        for row in await queue(client):
            whole = (await client.get(f"/v1/alerts/{row['alert_id']}")).json()
            seen |= {each["verdict"]["event_id"] for each in whole["chain"]}
        assert seen == flagged
        await until(lambda: _nothing_waits(client))
        return flagged

    flagged = with_alerts(tmp_path, bundle, talk)
    assert flagged
    assert event_ids(hook) <= flagged
    request = hook.received[0]
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    digest = hmac.new(KEY.encode(), signed.encode() + request.body, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    ids = [each.headers["webhook-id"] for each in hook.received]
    assert len(set(ids)) == len(ids)


async def _nothing_waits(client: httpx.AsyncClient) -> bool:
    return not await queue(client, delivery="waiting") + await queue(client, delivery="sending")


def test_what_a_dead_channel_did_not_take_is_delivered_after_a_restart(
    bundle: Bundle, fresh_events: list[AuthEvent], hook: WebServer, tmp_path: Path
) -> None:
    (tmp_path / "alerts.yaml").write_text(rules(hook).replace("first: 0s", "first: 1h, most: 1h"))
    hook.answers = [(503, {})] * 10_000

    async def before(client: httpx.AsyncClient) -> set[str]:
        verdicts = await scored(client, fresh_events[:300])
        assert any(each["is_anomaly"] for each in verdicts)
        await until(lambda: _some(client, delivery="waiting"))
        return {each["alert_id"] for each in await queue(client)}

    async def after(client: httpx.AsyncClient) -> set[str]:
        await until(lambda: _some(client, delivery="sent"))
        await until(lambda: _nothing_is_due(client))
        return {each["alert_id"] for each in await queue(client)}

    known = with_alerts(tmp_path, bundle, before)
    hook.answers, hook.received = [], []
    assert with_alerts(tmp_path, bundle, after) >= known
    ids = [each.headers["webhook-id"] for each in hook.received]
    assert len(set(ids)) == len(ids)


async def _some(client: httpx.AsyncClient, **asked: str) -> bool:
    return bool(await queue(client, **asked))


async def _nothing_is_due(client: httpx.AsyncClient) -> bool:
    """All but the one message whose attempt failed before, which is due in an hour."""
    return len(await queue(client, delivery="waiting")) <= 1


def test_acknowledging_and_silencing(
    bundle: Bundle, fresh_events: list[AuthEvent], hook: WebServer, tmp_path: Path
) -> None:
    (tmp_path / "alerts.yaml").write_text(rules(hook))

    async def talk(client: httpx.AsyncClient) -> None:
        silence = {"matchers": {"severity_below": "critical"}, "duration": "1h", "comment": "test"}
        made = await client.post("/v1/silences", json=silence)
        assert made.status_code == 201
        await scored(client, fresh_events[:300])

        async def held() -> bool:
            return any(each["held"].startswith("silenced: ") for each in await queue(client))

        await until(held)
        (row, *_) = await queue(client)
        done = await client.post(f"/v1/alerts/{row['alert_id']}/ack", json={"note": "looks at it"})
        assert done.json()["status"] == "acknowledged"
        (mine,) = await queue(client, status="acknowledged")
        assert (mine["alert_id"], mine["note"]) == (row["alert_id"], "looks at it")
        ended = await client.delete(f"/v1/silences/{made.json()['silence_id']}")
        assert ended.status_code == 200
        assert (await client.get("/v1/silences")).json() == {"silences": []}

    with_alerts(tmp_path, bundle, talk)
