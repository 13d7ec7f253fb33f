"""``/v1/stream`` over a real socket, as a client of server-sent events sees it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn

from services import feed as feeds
from services.auth import Guard
from services.feed import Feed
from services.gateway import GatewayApp
from services.local import LocalCall
from services.metrics import GatewayMetrics
from services.recorder import Recorder, RecorderArgs
from services.routes.events import Lookups
from services.routes.stream import VerdictStream
from services.telemetry import NO_TRACING
from tests.unit.services.stages import FakeGraph, until
from tests.unit.services.storage.batches import batch, verdict


@dataclass
class Gateway:
    """A gateway on a port of its own, its Recorder, and how many listen."""

    url: str
    recorder: Recorder
    feed: Feed

    async def flagged(self, *users: str, severity: Any = "high") -> None:
        """One verdict over the threshold for each user, on record."""
        place = (await self.recorder.flagged(None, 1)).place
        verdicts = [
            verdict(f"{user}{place}", severity, "impossible_travel", user_id=user) for user in users
        ]
        assert await self.recorder.record([batch(verdict(f"plain{place}"), *verdicts)])


@asynccontextmanager
async def serving() -> AsyncIterator[Gateway]:
    recorder, graph = Recorder(RecorderArgs()), FakeGraph()
    pipeline = graph.pipeline()
    feed = Feed(LocalCall(recorder.flagged))

    async def nothing(*args: object) -> Any:
        raise AssertionError("nobody asks")

    app = GatewayApp(
        pipeline,
        graph.book(pipeline),
        Lookups(nothing, nothing, nothing),
        guard=Guard(),
        tracing=NO_TRACING,
        metrics=GatewayMetrics(),
        routes=VerdictStream(feed).routes(),
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        running = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        try:
            yield Gateway(f"http://127.0.0.1:{listening.getsockname()[1]}", recorder, feed)
        finally:
            server.should_exit = True
            await running
            recorder.close()


def run(talk: Callable[[Gateway, httpx.AsyncClient], Awaitable[None]]) -> None:
    async def talking() -> None:
        async with (
            asyncio.timeout(60),
            serving() as gateway,
            httpx.AsyncClient(base_url=gateway.url) as client,
        ):
            await talk(gateway, client)

    asyncio.run(talking())


@dataclass
class Events:
    """The events of one connection; comments are left out."""

    lines: AsyncIterator[str]

    async def next(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        async for line in self.lines:
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                break
            else:
                fields = {}
        return fields

    async def users(self, count: int) -> list[str]:
        """The users of the next verdicts."""
        return [json.loads((await self.next())["data"])["user_id"] for _ in range(count)]


@asynccontextmanager
async def listening(
    gateway: Gateway, client: httpx.AsyncClient, query: str = "", last: str | None = None
) -> AsyncIterator[Events]:
    headers = {} if last is None else {"last-event-id": last}
    async with client.stream("GET", f"/v1/stream{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        await until(lambda: gateway.feed.since is not None)
        yield Events(answer.aiter_lines())


def test_verdicts_over_the_threshold_arrive_as_they_are_recorded() -> None:
    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        await gateway.flagged("before")
        async with listening(gateway, client) as events:
            await gateway.flagged("ann", "bob")
            first = await events.next()
            assert set(first) == {"id", "data"}
            told = json.loads(first["data"])
            assert (told["user_id"], told["is_anomaly"]) == ("ann", True)
            assert await events.users(1) == ["bob"]

    run(talk)


def test_a_client_that_comes_again_misses_nothing() -> None:
    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        async with listening(gateway, client) as events:
            await gateway.flagged("ann")
            last = (await events.next())["id"]
        await gateway.flagged("bob", "cid")
        async with listening(gateway, client, last=last) as events:
            await gateway.flagged("dan")
            assert await events.users(3) == ["bob", "cid", "dan"]

    run(talk)


@pytest.mark.parametrize("query", ["?severity=high", "?user=ann", "?user=ann&severity=medium"])
def test_only_what_was_asked_for(query: str) -> None:
    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        async with listening(gateway, client, query) as events:
            await gateway.flagged("bob", severity="low")
            await gateway.flagged("ann", severity="critical")
            assert await events.users(1) == ["ann"]

    run(talk)


def test_a_client_that_leaves_is_noticed() -> None:
    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        async with listening(gateway, client):
            assert gateway.feed.since is not None
        await until(lambda: gateway.feed.since is None)

    run(talk)


def test_a_client_that_does_not_read_is_sent_on_to_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It costs the gateway what waits in its socket, and nobody else anything."""
    monkeypatch.setattr(feeds, "MOST_BEHIND", 100)
    monkeypatch.setattr(feeds, "PAGE", 100)
    crowd = [f"{number} {'long name ' * 100}" for number in range(100)]

    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
            lazy.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: ztad\r\n\r\n")
            await until(lambda: gateway.feed.listeners == 1)
            async with listening(gateway, client) as quick:
                for _ in range(80):
                    await gateway.flagged(*crowd)
                    assert await quick.users(100) == crowd
            lazy.setblocking(False)
            loop, received = asyncio.get_running_loop(), b""
            while b"event: skipped" not in received:
                received += await loop.sock_recv(lazy, 1 << 20)
            await gateway.flagged("last")
            while b'"user_id":"last"' not in received[-2000:]:
                received += await loop.sock_recv(lazy, 1 << 20)
            skipped = re.findall(rb'event: skipped\ndata: {"verdicts":(\d+)}', received)
            assert skipped
            assert sum(map(int, skipped)) + received.count(b'"event_id"') == 8001

    run(talk)


def test_there_is_place_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_LISTENERS", 1)

    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        async with listening(gateway, client):
            refused = await client.get("/v1/stream")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "30"
            assert refused.json()["error"]["field"] == "stream"
        await until(lambda: gateway.feed.since is None)
        async with listening(gateway, client):
            pass

    run(talk)


@pytest.mark.parametrize(
    ("query", "last", "field"),
    [
        ("?severity=huge", None, "severity"),
        ("?usr=ann", None, "usr"),
        ("", "yesterday", "last-event-id"),
        ("", "9" * 30, "last-event-id"),
    ],
)
def test_what_cannot_be_meant_is_refused(query: str, last: str | None, field: str) -> None:
    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        headers = {} if last is None else {"last-event-id": last}
        refused = await client.get(f"/v1/stream{query}", headers=headers)
        assert refused.status_code == 422
        assert refused.json()["error"]["field"] == field

    run(talk)


def test_head_tells_the_headers_alone() -> None:
    async def talk(gateway: Gateway, client: httpx.AsyncClient) -> None:
        answer = await client.head("/v1/stream")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        await until(lambda: gateway.feed.since is None)

    run(talk)
