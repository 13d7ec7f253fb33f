"""The record of a real graph: nothing of it is lost with the process that keeps it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import msgspec
import pytest

from preprocessing.event import AuthEvent, encode_event
from tests.graph.served import Served, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(420)]

NDJSON = {"content-type": "application/x-ndjson"}


def score(client: httpx.Client, events: list[AuthEvent]) -> list[dict[str, object]]:
    content = b"\n".join(encode_event(event) for event in events)
    answer = client.post("/v1/score/batch", content=content, headers=NDJSON)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


def path(verdict: dict[str, object]) -> str:
    return f"/v1/events/{verdict['event_id']}"


@contextmanager
def streamed(graph: Served) -> Iterator[queue.Queue[str]]:
    """The ids of the events whose verdicts arrive on the stream, from the first on record."""
    arrived: queue.Queue[str] = queue.Queue()

    def read() -> None:
        with (
            graph.client(headers={"last-event-id": "0"}) as client,
            client.stream("GET", "/v1/stream", timeout=None) as answer,
        ):
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    arrived.put(str(json.loads(line.removeprefix("data: "))["event_id"]))
                if over.is_set():
                    return

    over = threading.Event()
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield arrived
    finally:
        over.set()
        reader.join(60)  # the next sign of life wakes it
    assert not reader.is_alive()


def test_nothing_is_lost_when_the_recorder_is_killed(
    graph: Served, fresh_events: list[AuthEvent]
) -> None:
    """Neither a verdict nor a place in the stream; and nothing is there twice."""
    events = [
        msgspec.structs.replace(event, event_id=f"record-{number}")
        for number, event in enumerate(fresh_events[600:900])
    ]

    with graph.client() as client, streamed(graph) as arrived:
        verdicts = score(client, events[:150])
        recorder = graph.replica("Recorder")
        assert recorder is not None
        recorder.kill()
        verdicts += score(client, events[150:])
        until(
            lambda: all(client.get(path(each)).status_code == 200 for each in verdicts), within_s=90
        )
        assert [client.get(path(each)).json() for each in verdicts] == verdicts
        flagged = {str(each["event_id"]) for each in verdicts if each["is_anomaly"]}
        assert len(flagged) > 50
        seen: list[str] = []
        while not flagged <= set(seen):
            seen.append(arrived.get(timeout=60))
        assert len(seen) == len(set(seen))
