"""What a client of ``ack: durable`` is told, and what anybody is told when too much waits."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from services import recording
from services.recording import QueueFull
from tests.unit.services.stages import FakeGraph, until
from tests.unit.services.test_gateway import EVENT, JSON, NDJSON, refused, talk

BATCHES = ("/v1/score/batch", JSON, b'[{"event_id": "a"}]')


def durable() -> FakeGraph:
    graph = FakeGraph()
    graph.durable = True
    return graph


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [("/v1/score", JSON, EVENT), BATCHES, ("/v1/score/batch", NDJSON, EVENT)],
)
def test_an_answer_waits_for_its_confirmation(
    path: str, headers: dict[str, str], content: bytes
) -> None:
    graph, gate = durable(), asyncio.Event()
    graph.record.plan = [gate]

    async def conversation(client: httpx.AsyncClient) -> None:
        asking = asyncio.create_task(client.post(path, content=content, headers=headers))
        await until(lambda: bool(graph.record.calls))
        assert not asking.done()
        gate.set()
        assert (await asking).status_code == 200
        assert set(graph.recorded) == {"a"}

    talk(conversation, graph)


def test_others_are_judged_while_one_waits_for_its_confirmation() -> None:
    graph, gate = durable(), asyncio.Event()
    graph.record.plan = [gate]

    async def conversation(client: httpx.AsyncClient) -> None:
        asking = [
            asyncio.create_task(
                client.post("/v1/score", json={"event_id": f"e{number}"}, headers=JSON)
            )
            for number in range(10)
        ]
        await until(lambda: graph.made == len(asking))
        assert not any(each.done() for each in asking)
        gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}

    talk(conversation, graph)


def test_what_is_not_confirmed_in_time_can_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CONFIRM_DEADLINE_S", 0.01)
    graph, gate = durable(), asyncio.Event()
    graph.record.plan = [gate]

    async def conversation(client: httpx.AsyncClient) -> None:
        for _ in range(2):  # the repeat is no more on record than the first
            answer = await client.post("/v1/score", content=EVENT, headers=JSON)
            assert "not confirmed" in refused(answer, 503, "store")
            assert answer.headers["retry-after"] == "1"
        gate.set()
        await until(lambda: "a" in graph.recorded)
        monkeypatch.setattr(recording, "CONFIRM_DEADLINE_S", 30)
        answer = await client.post("/v1/score", content=EVENT, headers=JSON)
        assert answer.status_code == 200
        assert answer.json() == json.loads(graph.recorded["a"]) | {"duplicate": True}

    talk(conversation, graph)


def test_a_full_queue_is_told_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording.RecordQueue.__init__, "__defaults__", (1, 1 << 20, 0.001))
    graph, gate = FakeGraph(), asyncio.Event()
    graph.record.plan = [gate]

    async def conversation(client: httpx.AsyncClient) -> None:
        assert (await client.post("/v1/score", content=EVENT, headers=JSON)).status_code == 200
        path, headers, content = BATCHES
        for answer in (
            await client.post("/v1/score", content=b'{"event_id": "b"}', headers=JSON),
            await client.post(path, content=content, headers=headers),
        ):
            assert "wait for the store" in refused(answer, 503, "store")
            assert answer.headers["retry-after"] == "5"
        assert len(graph.prepare.calls) == 1  # whoever comes again is no repeat
        assert b"ztad_refusing 1.0" in (await client.get("/metrics")).content
        gate.set()
        await until(lambda: "a" in graph.recorded)
        answer = await client.post("/v1/score", content=b'{"event_id": "b"}', headers=JSON)
        assert answer.json()["duplicate"] is False

    talk(conversation, graph)


def test_a_patient_caller_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording.RecordQueue.__init__, "__defaults__", (1, 1 << 20, 0.001))

    async def run() -> None:
        graph = FakeGraph()
        for patient in (False, True):
            pipeline = graph.pipeline(patient=patient)
            await pipeline.score([EVENT], "events", lambda items: [""])
            again = pipeline.score([EVENT], "events", lambda items: [""], durable=True)
            if patient:
                asking = asyncio.create_task(again)
                recording_ = asyncio.create_task(pipeline.run_recorder())
                assert (await asking).duplicates == 1
                recording_.cancel()
            else:
                with pytest.raises(QueueFull):
                    await again

    asyncio.run(run())


def test_what_can_never_be_recorded_is_our_mistake() -> None:
    graph = durable()
    graph.record.plan = [ValueError("together"), ValueError("alone")]

    async def conversation(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/score", content=EVENT, headers=JSON)
        assert "our mistake" in refused(answer, 500, "service")

    talk(conversation, graph)
