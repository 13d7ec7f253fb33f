"""The whole graph in this process: what it answers equals what ``Scorer`` answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

import httpx
import msgspec
import pytest

from ensemble.scorer import Scorer
from ensemble.verdict import Verdict
from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from tests.conftest import NOW_S
from tests.graph.local import with_graph
from tests.graph.served import body

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
VERDICT = msgspec.json.Decoder(Verdict)


def expected(bundle: Bundle, batches: Sequence[Sequence[AuthEvent]]) -> list[Verdict]:
    """The in-process scorer's verdicts of the same batches."""
    scorer = Scorer(bundle)
    return [verdict for batch in batches for verdict in scorer.score(batch, now_s=NOW_S)]


def told(line: bytes) -> Verdict:
    """A verdict as answered, without what names the request."""
    return msgspec.structs.replace(VERDICT.decode(line), trace_id="")


async def _on_record(client: httpx.AsyncClient, path: str) -> None:
    """Wait until an event can be asked for."""
    async with asyncio.timeout(30):
        while True:
            if (await client.get(path)).status_code == 200:
                return
            await asyncio.sleep(0.01)


def test_single_events(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    events = fresh_events[:200]

    async def talk(client: httpx.AsyncClient) -> list[Verdict]:
        answers = [
            await client.post("/v1/score", content=encode_event(event), headers=JSON)
            for event in events
        ]
        return [told(answer.content) for answer in answers]

    assert with_graph(bundle, talk) == expected(bundle, [[event] for event in events])


@pytest.mark.parametrize("framing", ["array", "lines"])
def test_batches(bundle: Bundle, fresh_events: list[AuthEvent], framing: str) -> None:
    sizes = [1, 7, 400, len(fresh_events) - 408]
    left = iter(fresh_events)
    batches = [[next(left) for _ in range(size)] for size in sizes]

    async def talk(client: httpx.AsyncClient) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for batch in batches:
            verdicts += await _scored(client, [encode_event(event) for event in batch], framing)
        return verdicts

    answered = with_graph(bundle, talk)
    assert answered == expected(bundle, batches)
    assert {verdict.is_anomaly for verdict in answered} == {False, True}


async def _scored(client: httpx.AsyncClient, lines: list[bytes], framing: str) -> list[Verdict]:
    if framing == "lines":
        answer = await client.post("/v1/score/batch", content=b"\n".join(lines), headers=NDJSON)
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [told(line) for line in answer.content.splitlines()]
    whole = b"[" + b",".join(lines) + b"]"
    answer = await client.post("/v1/score/batch", content=whole, headers=JSON)
    assert answer.headers["content-type"] == "application/json"
    raws = msgspec.json.decode(answer.content, type=list[msgspec.Raw])
    return [told(bytes(raw)) for raw in raws]


def test_concurrent_events_share_batches_and_stay_apart(
    bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    """Of users that have nothing to do with each other, so that no order between them matters."""
    events = [msgspec.structs.replace(event, source_ip=None, event_id=f"e-{index}",
                                      user_id=f"user-{index}")
              for index, event in enumerate(fresh_events[:300])]  # fmt: skip

    async def talk(client: httpx.AsyncClient) -> tuple[list[httpx.Response], str]:
        answers = await asyncio.gather(
            *(
                client.post("/v1/score", content=encode_event(event), headers=JSON)
                for event in events
            )
        )
        return answers, (await client.get("/metrics")).text

    answers, metrics = with_graph(bundle, talk)
    verdicts = [told(answer.content) for answer in answers]
    assert [verdict.event_id for verdict in verdicts] == [event.event_id for event in events]
    assert [verdict.user_id for verdict in verdicts] == [event.user_id for event in events]
    traces = {answer.headers["x-trace-id"] for answer in answers}
    assert traces == {answer.json()["trace_id"] for answer in answers}
    assert len(traces) == len(events)
    batches = next(
        line for line in metrics.splitlines() if line.startswith("ztad_batch_events_count")
    )
    assert float(batches.split()[1]) < len(events) / 10


def test_a_bad_item_in_its_place(bundle: Bundle) -> None:
    bad = random.Random(7).sample(range(50), 10)
    lines = [
        body(event_id=f"e-{index}", latitude=999 if index in bad else 1) for index in range(50)
    ]

    async def talk(client: httpx.AsyncClient) -> tuple[bytes, bytes]:
        array = await client.post(
            "/v1/score/batch", content=b"[" + b",".join(lines) + b"]", headers=JSON
        )
        framed = await client.post("/v1/score/batch", content=b"\n".join(lines), headers=NDJSON)
        return array.content, framed.content

    array, framed = with_graph(bundle, talk)
    for answers in (json.loads(array), [json.loads(line) for line in framed.splitlines()]):
        assert [answer["event_id"] for answer in answers] == [f"e-{index}" for index in range(50)]
        assert [index for index, answer in enumerate(answers) if "error" in answer] == sorted(bad)
        assert {answers[index]["error"]["field"] for index in bad} == {"latitude"}


def test_repeated_ids(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    """In one batch, a moment later, and after the Recorder has them: the first verdict."""
    event = encode_event(fresh_events[0])
    other = encode_event(
        msgspec.structs.replace(fresh_events[0], outcome="failure", country="KP", device_id="x")
    )

    async def talk(client: httpx.AsyncClient) -> list[Verdict]:
        both = await client.post("/v1/score/batch", content=event + b"\n" + other, headers=NDJSON)
        verdicts = [told(line) for line in both.content.splitlines()]
        soon = await client.post("/v1/score", content=other, headers=JSON)
        path = f"/v1/events/{fresh_events[0].event_id}"
        await _on_record(client, path)
        later = await client.post("/v1/score", content=event, headers=JSON)
        return [*verdicts, told(soon.content), told(later.content)]

    first, *repeated = with_graph(bundle, talk)
    assert not first.duplicate
    assert repeated == [msgspec.structs.replace(first, duplicate=True)] * 3


def test_a_repeated_id_changes_no_history(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    events = fresh_events[:60]

    async def talk(client: httpx.AsyncClient) -> list[Verdict]:
        verdicts = []
        for event in events:
            for _ in range(2):
                answer = await client.post("/v1/score", content=encode_event(event), headers=JSON)
                verdicts.append(told(answer.content))
        return verdicts

    assert with_graph(bundle, talk)[::2] == expected(bundle, [[event] for event in events])


def test_equal_events_without_id(bundle: Bundle) -> None:
    """Lines of one request are events of their own; two requests are one event sent twice."""
    line = body(event_id=None)

    async def talk(client: httpx.AsyncClient) -> tuple[bytes, list[httpx.Response]]:
        batch = await client.post("/v1/score/batch", content=b"\n".join([line] * 3), headers=NDJSON)
        other = body(event_id=None, user_id="bob")
        twice = await asyncio.gather(
            *(client.post("/v1/score", content=other, headers=JSON) for _ in range(2))
        )
        return batch.content, twice

    batch, twice = with_graph(bundle, talk)
    lines = [json.loads(line) for line in batch.splitlines()]
    assert len({line["event_id"] for line in lines}) == 3
    assert not any(line["duplicate"] for line in lines)
    assert len({answer.json()["event_id"] for answer in twice}) == 1
    assert sorted(answer.json()["duplicate"] for answer in twice) == [False, True]


def test_bounds(bundle: Bundle) -> None:
    line = body(event_id=None)

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.post("/v1/score/batch", content=content, headers=headers)
            for content, headers in (
                (b"[]", JSON),
                (b"", NDJSON),
                (b"\n \n", NDJSON),
                (b"[" + b",".join([line] * 10_000) + b"]", JSON),
                (b"[" + b",".join([line] * 10_001) + b"]", JSON),
                (b"\n".join([line] * 10_001), NDJSON),
            )
        ]

    empty, nothing, blank, most, array, lines = with_graph(bundle, talk)
    assert (empty.status_code, empty.content) == (200, b"[]")
    assert (nothing.status_code, nothing.content) == (200, b"")
    assert (blank.status_code, blank.content) == (200, b"")
    assert (most.status_code, len(most.json())) == (200, 10_000)
    for refused in (array, lines):
        assert refused.status_code == 413
        assert refused.json()["error"]["field"] == "body"


def test_lookup_and_explanation(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        # To users of whom nothing is known hardly anything is strange.
        for part in (fresh_events[:200], fresh_events[200:]):
            content = b"\n".join(encode_event(event) for event in part)
            scored = await client.post("/v1/score/batch", content=content, headers=NDJSON)
        flagged = next(v for v in map(told, scored.content.splitlines()) if v.is_anomaly)
        known, unknown = f"/v1/events/{flagged.event_id}", "/v1/events/never-seen"
        await _on_record(client, known)
        paths = (known, f"{known}/explanation", unknown, f"{unknown}/explanation")
        return [scored, *[await client.get(path) for path in paths]]

    scored, kept, explained, *gone = with_graph(bundle, talk)
    verdicts = [json.loads(line) for line in scored.content.splitlines()]
    verdict = next(verdict for verdict in verdicts if verdict["is_anomaly"])
    assert kept.json() == verdict
    assert explained.json()["verdict"] == verdict
    assert explained.json()["explanation"]
    for answer in gone:
        assert answer.status_code == 404
        assert answer.json()["error"]["field"] == "event_id"


def test_ready(bundle: Bundle) -> None:
    async def talk(client: httpx.AsyncClient) -> int:
        return (await client.get("/readyz")).status_code

    assert with_graph(bundle, talk) == 200
