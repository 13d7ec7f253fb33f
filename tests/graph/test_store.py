"""What is on record of an event stays what it was, after restarts and under other champions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import pytest

from ensemble.explain.methods import METHODS
from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.local import local_gateway
from services.recorder import Recorder, RecorderArgs
from services.storage.base import Limits
from services.storage.opening import open_store
from tests.graph.local import client_of
from tests.unit.services.copies import copied

T = TypeVar("T")

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def models(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one more version: the same model with another threshold."""
    folder = tmp_path_factory.mktemp("models")
    copied(bundle, folder / "strict", "strict", threshold=0.5)
    return folder


def with_store(
    folder: Path,
    bundle: Bundle,
    models: Path,
    talk: Callable[[httpx.AsyncClient], Awaitable[T]],
) -> T:
    """Talk to a graph that keeps its store in a folder; it is stopped afterwards."""

    async def run() -> T:
        recorder = Recorder(RecorderArgs(store_dir=str(folder)))
        try:
            app = local_gateway(bundle, models_dir=models, recorder=recorder)
            app.start()
            async with asyncio.timeout(60), client_of(app) as client:
                return await talk(client)
        finally:
            recorder.close()

    return asyncio.run(run())


async def on_record(client: httpx.AsyncClient, events: int) -> list[dict[str, object]]:
    """The verdicts on record, once there are so many."""
    while True:
        answer = await client.get("/v1/events", params={"limit": 1000})
        verdicts: list[dict[str, object]] = answer.json()["verdicts"]
        if len(verdicts) >= events:
            return verdicts
        await asyncio.sleep(0.01)


def a_year_later(folder: Path) -> None:
    """What is kept of it all after 364 days."""
    args = RecorderArgs()
    limits = Limits(args.most_bytes, args.most_days, args.most_alert_days)

    async def trim() -> None:
        with closing(open_store(str(folder), limits)) as store:
            while await store.trim(time.time() + 364 * 86400.0, 1000):
                pass

    asyncio.run(trim())


def test_an_explanation_is_the_same_a_year_later_and_under_another_champion(
    bundle: Bundle, models: Path, fresh_events: list[AuthEvent], tmp_path: Path
) -> None:
    content = b"\n".join(encode_event(event) for event in fresh_events[:300])
    routing = {
        "champion": {"version": "strict", "weight": 100},
        "challenger": None,
        "shadow": None,
    }

    async def score(client: httpx.AsyncClient) -> dict[str, list[bytes]]:
        await client.post("/v1/score/batch", content=content, headers=NDJSON)
        verdicts = await on_record(client, 300)
        flagged = [str(each["event_id"]) for each in verdicts if each["is_anomaly"]][:5]
        assert len(flagged) == 5
        return {name: await explained(client, name) for name in flagged}

    async def explained(client: httpx.AsyncClient, event_id: str) -> list[bytes]:
        path, told = f"/v1/events/{event_id}/explanation", []
        for method in METHODS:
            answer = await client.get(path, params={"method": method})
            assert answer.status_code == 200, answer.text
            assert answer.json()["explanation"]["method"] == method
            told.append(answer.content)
        event = await client.get(f"/v1/events/{event_id}/event")
        assert msgspec.json.decode(event.content, type=AuthEvent) in fresh_events[:300]
        return [*told, event.content]

    before = with_store(tmp_path, bundle, models, score)
    first = json.loads(next(iter(before.values()))[0])
    assert first["evidence"]["event"]["event_id"] == first["verdict"]["event_id"]
    assert first["explanation"]

    a_year_later(tmp_path)

    async def later(client: httpx.AsyncClient) -> dict[str, list[bytes]]:
        left = await on_record(client, 5)
        assert all(each["is_anomaly"] for each in left)
        changed = await client.put("/v1/routing", content=json.dumps(routing), headers=JSON)
        assert changed.status_code == 200, changed.text
        return {name: await explained(client, name) for name in before}

    assert with_store(tmp_path, bundle, models, later) == before


def test_the_first_verdict_of_an_event_stays(
    bundle: Bundle, models: Path, fresh_events: list[AuthEvent], tmp_path: Path
) -> None:
    """Also for a graph that knows nothing of it any more but what is on record."""
    event, path = encode_event(fresh_events[0]), f"/v1/events/{fresh_events[0].event_id}"

    async def score(client: httpx.AsyncClient) -> bytes:
        answer = await client.post("/v1/score", content=event, headers=JSON)
        await on_record(client, 1)
        return answer.content

    async def again(client: httpx.AsyncClient) -> bytes:
        await client.post("/v1/score", content=event, headers=JSON)
        await client.post("/v1/score", content=encode_event(fresh_events[1]), headers=JSON)
        await on_record(client, 2)
        return (await client.get(path)).content

    first = with_store(tmp_path, bundle, models, score)
    assert with_store(tmp_path, bundle, models, again) == first
