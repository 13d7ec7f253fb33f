"""The store goes away under load and comes back: all that was answered is there, once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services import backlog
from services.local import local_gateway
from services.recorder import Recorder, RecorderArgs
from tests.graph.local import client_of

NDJSON = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_answered_while_the_store_is_away_is_stored(
    bundle: Bundle,
    fresh_events: list[AuthEvent],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    durable: bool,
) -> None:
    """Another process holds the file: it can be read, and nothing can be written."""
    monkeypatch.setattr(backlog, "STORE_PATIENCE_S", 0.05)
    monkeypatch.setattr(backlog, "MOST_PAUSE_S", 0.05)
    lines = [encode_event(event) for event in fresh_events[:400]]
    answered: dict[str, dict[str, object]] = {}

    async def score(client: httpx.AsyncClient, some: list[bytes]) -> None:
        answer = await client.post("/v1/score/batch", content=b"\n".join(some), headers=NDJSON)
        assert answer.status_code == 200
        for verdict in map(json.loads, answer.text.splitlines()):
            answered.setdefault(verdict["event_id"], verdict)

    async def talk(client: httpx.AsyncClient, recorder: Recorder) -> None:
        for start in range(0, 100, 20):
            await score(client, lines[start : start + 20])
        await waiting(client, 0)
        with closing(sqlite3.connect(tmp_path / "verdicts.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for start in range(100, 300, 20):
                await score(client, lines[start : start + 20])
            await waiting(client, 200)
            for place in (50, 150):  # in the store, and on the disk
                again = await client.post("/v1/score", content=lines[place], headers=JSON)
                first = answered[again.json()["event_id"]]
                assert again.json() == first | {"duplicate": True}
            found = await client.get(f"/v1/events/{fresh_events[150].event_id}")
            assert found.json() == answered[fresh_events[150].event_id]
            other.execute("ROLLBACK")
        for start in range(300, 400, 20):
            await score(client, lines[start : start + 20])
        await waiting(client, 0)

    async def run() -> None:
        recorder = Recorder(RecorderArgs(store_dir=str(tmp_path), durable=durable))
        try:
            app = local_gateway(bundle, recorder=recorder, durable=durable)
            app.start()
            async with asyncio.timeout(60), client_of(app) as client:
                await talk(client, recorder)
                assert await stored(client) == answered
        finally:
            recorder.close()

    asyncio.run(run())
    assert len(answered) == 400


async def waiting(client: httpx.AsyncClient, verdicts: int) -> None:
    """Until so many verdicts wait on the disk, and none before it."""
    expected = {f"ztad_spool_verdicts {verdicts}.0", "ztad_unrecorded_events 0.0"}
    while True:
        page = await client.get("/metrics")
        if expected <= set(page.text.splitlines()):
            return
        await asyncio.sleep(0.01)


async def stored(client: httpx.AsyncClient) -> dict[str, dict[str, object]]:
    """All verdicts on record; none is there twice."""
    answer = await client.get("/v1/events", params={"limit": 1000})
    verdicts = answer.json()["verdicts"]
    found = {verdict["event_id"]: verdict for verdict in verdicts}
    assert len(found) == len(verdicts)
    return found
