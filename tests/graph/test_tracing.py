"""Traces as a collector receives them: connected, without orphans, and only when asked for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import httpx
import pytest
from msgspec.structs import replace

from ensemble.scorer import ensemble_of
from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.app import deployment_name
from tests.graph.receiver import Receiver, Span
from tests.graph.served import Served, body

pytestmark = pytest.mark.ray

JSON = {"content-type": "application/json"}


class Caller:
    """The trace of somebody who calls ztad and has decided whether it is recorded."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.trace = secrets.token_hex(16)
        self.span = secrets.token_hex(8)
        self.headers = {**JSON, "traceparent": f"00-{self.trace}-{self.span}-{int(sampled):02x}"}


@pytest.fixture
def client(graph: Served) -> Iterator[httpx.Client]:
    with graph.client() as client:
        yield client


def stages(bundle: Bundle) -> set[str]:
    """What a whole trace names: every deployment on the way, our own spans around the calls."""
    detectors = {
        f"replica_handle_request {deployment_name(name)} score"
        for name in ensemble_of(bundle).counted
    }
    return detectors | {
        "replica_handle_request Gateway __call__",
        "replica_handle_request Preprocessor prepare",
        "replica_handle_request Combiner judge",
        "ztad.score",
        "ztad.preprocess",
        "ztad.detect",
        "ztad.combine",
    }


def orphans(spans: list[Span], caller: Caller) -> list[Span]:
    known = {span.id for span in spans} | {caller.span}
    return [span for span in spans if span.parent not in known]


def test_one_connected_trace(client: httpx.Client, receiver: Receiver, bundle: Bundle) -> None:
    caller, wanted = Caller(), stages(bundle)
    answer = client.post("/v1/score", content=body(event_id="traced"), headers=caller.headers)
    assert answer.status_code == 200
    assert answer.headers["x-trace-id"] == answer.json()["trace_id"] == caller.trace
    spans = receiver.wait(
        caller.trace,
        lambda spans: wanted <= {span.name for span in spans} and not orphans(spans, caller),
    )
    assert wanted - {span.name for span in spans} == set()
    assert orphans(spans, caller) == []
    assert len({span.id for span in spans}) == len(spans)
    doors = [span.name for span in spans if span.parent == caller.span]
    assert doors == ["replica_handle_request Gateway __call__"]
    assert {span.service for span in spans} == {"ztad"}


def test_a_batch_is_one_trace(client: httpx.Client, receiver: Receiver, bundle: Bundle) -> None:
    caller, wanted = Caller(), stages(bundle)
    lines = b"\n".join(body(user_id=f"user-{index}") for index in range(20))
    headers = {**caller.headers, "content-type": "application/x-ndjson"}
    assert client.post("/v1/score/batch", content=lines, headers=headers).status_code == 200
    spans = receiver.wait(
        caller.trace,
        lambda spans: wanted <= {span.name for span in spans} and not orphans(spans, caller),
    )
    assert sorted(span.name for span in spans if span.name in wanted) == sorted(wanted)
    assert orphans(spans, caller) == []


def test_the_trace_goes_on_in_the_recorder(
    client: httpx.Client, receiver: Receiver, fresh_events: list[AuthEvent]
) -> None:
    """Long after the answer: verdicts are written, and suspicious ones become alerts."""
    caller, later = Caller(), {"ztad.record", "ztad.alert.group"}
    events = [replace(event, event_id=secrets.token_hex(8)) for event in fresh_events[:200]]
    lines = b"\n".join(encode_event(event) for event in events)
    headers = {**caller.headers, "content-type": "application/x-ndjson"}
    answer = client.post("/v1/score/batch", content=lines, headers=headers)
    assert b'"is_anomaly":true' in answer.content
    spans = receiver.wait(
        caller.trace,
        lambda spans: later <= {span.name for span in spans} and not orphans(spans, caller),
    )
    (door,) = (span.id for span in spans if span.parent == caller.span)
    assert {span.name: span.parent for span in spans if span.name in later} == dict.fromkeys(
        later, door
    )
    assert orphans(spans, caller) == []


def test_events_of_a_micro_batch_find_each_other(graph: Served, receiver: Receiver) -> None:
    """The batch is in one event's trace and links the others; each of those links back."""
    callers = [Caller() for _ in range(40)]
    asyncio.run(_together(graph, callers))
    of = {caller.trace: caller for caller in callers}
    batches, shares = [], []
    for caller in callers:
        spans = receiver.wait(caller.trace, lambda spans, of=caller: _found(spans, of))  # type: ignore[misc]
        assert orphans(spans, caller) == []
        batches += [span for span in spans if span.name == "ztad.score"]
        shares += [span for span in spans if span.name == "ztad.event"]
    assert len(batches) + len(shares) == len(callers)
    assert shares, "forty events at once made no micro-batch of two"
    places = {(batch.trace, batch.id): batch for batch in batches}
    for share in shares:
        (back,) = share.links
        linked = {trace for trace, _ in places[back].links}
        assert share.trace in linked
        assert linked <= set(of)


def _found(spans: list[Span], caller: Caller) -> bool:
    names = {span.name for span in spans}
    return bool(names & {"ztad.score", "ztad.event"}) and not orphans(spans, caller)


async def _together(graph: Served, callers: list[Caller]) -> None:
    async with httpx.AsyncClient(base_url=graph.url, trust_env=False, timeout=60.0) as client:
        answers = await asyncio.gather(
            *(
                client.post("/v1/score", content=body(user_id=each.span), headers=each.headers)
                for each in callers
            )
        )
    assert [answer.headers["x-trace-id"] for answer in answers] == [each.trace for each in callers]


def test_a_caller_who_does_not_record(
    client: httpx.Client, receiver: Receiver, bundle: Bundle
) -> None:
    silent, loud, wanted = Caller(sampled=False), Caller(), stages(bundle)
    answer = client.post("/v1/score", content=body(event_id="silent"), headers=silent.headers)
    assert answer.headers["x-trace-id"] == answer.json()["trace_id"] == silent.trace
    # What comes later has arrived: nothing of the silent one is still under way.
    client.post("/v1/score", content=body(event_id="loud"), headers=loud.headers)
    spans = receiver.wait(loud.trace, lambda spans: wanted <= {span.name for span in spans})
    assert wanted <= {span.name for span in spans}
    assert receiver.trace(silent.trace) == []


def test_no_trace_begins_inside(client: httpx.Client, receiver: Receiver) -> None:
    """The graph is told to begin none, so every span belongs to a caller's trace."""
    answer = client.post("/v1/score", content=body(event_id="plain"), headers=JSON)
    assert len(answer.headers["x-trace-id"]) == 32
    assert receiver.trace(answer.headers["x-trace-id"]) == []
    assert receiver.roots() == []
