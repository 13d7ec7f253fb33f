"""Routes and status codes over stages in memory, as an HTTP client sees them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from models.manifest import BundleError
from services import pipeline as pipelines
from services.audit import Audit
from services.auth import Guard
from services.documents import DOCS, OPENAPI
from services.gateway import GatewayApp
from services.keyring import Keyring
from services.keys import Scope, create, key_hash
from services.metrics import GatewayMetrics
from services.routes.events import Lookups
from services.routes.metrics import MetricsPage
from services.routes.scoring import BATCH_SLOTS, MOST_BATCH_BYTES, MOST_EVENT_BYTES
from services.storage.base import Page, VerdictQuery
from services.telemetry import NO_TRACING
from services.wire import Question
from tests.unit.services.stages import Died, FakeGraph, Stage, until

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
EVENT = b'{"event_id": "a"}'


def app_of(graph: FakeGraph, *, guard: Guard | None = None) -> GatewayApp:
    async def explain(asked: Question) -> dict[str, Any]:
        return {"version": asked.version, "path": asked.path, "columns": len(asked.values) // 4}

    async def page(query: VerdictQuery) -> Page:
        return Page([])

    pipeline, metrics = graph.pipeline(), GatewayMetrics()
    book = graph.book(pipeline)
    told = MetricsPage(pipeline, book, metrics, Stage(lambda: b"# the Recorder's\n"))
    return GatewayApp(
        pipeline,
        book,
        Lookups(graph.kept, page, explain),
        guard=guard or Guard(),
        tracing=NO_TRACING,
        metrics=metrics,
        routes=told.routes(),
        unavailable=(Died,),
    )


def talk(
    conversation: Callable[[httpx.AsyncClient], Awaitable[None]],
    graph: FakeGraph | None = None,
    *,
    guard: Guard | None = None,
) -> None:
    """Hold a conversation with a gateway over ``graph``."""

    async def run() -> None:
        app = app_of(graph or FakeGraph(), guard=guard)
        app.start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ztad") as client:
            await conversation(client)

    asyncio.run(run())


def ask(
    method: str,
    path: str,
    graph: FakeGraph | None = None,
    *,
    guard: Guard | None = None,
    **sent: Any,
) -> httpx.Response:
    """The answer to one request."""
    answers = []

    async def conversation(client: httpx.AsyncClient) -> None:
        answers.append(await client.request(method, path, **sent))

    talk(conversation, graph, guard=guard)
    return answers[0]


def refused(answer: httpx.Response, status: int, field: str) -> str:
    """The message of an error answer."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-trace-id"]) == 32
    error = answer.json()["error"]
    assert error["field"] == field
    return str(error["message"])


def test_one_event() -> None:
    answer = ask("POST", "/v1/score", content=EVENT, headers=JSON)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["event_id"] == "a"
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"]


def test_a_bad_event() -> None:
    answer = ask("POST", "/v1/score", content=b'{"bad": "latitude"}', headers=JSON)
    assert refused(answer, 422, "latitude") == "is bad"


BATCH = b'{"event_id": "a"}\n{"event_id": "b", "bad": "user_id"}\n{"event_id": "c"}'


def test_a_batch_as_ndjson() -> None:
    answer = ask("POST", "/v1/score/batch", content=BATCH, headers=NDJSON)
    assert answer.headers["content-type"] == "application/x-ndjson"
    first, error, third = (json.loads(line) for line in answer.content.splitlines())
    assert (first["event_id"], third["event_id"]) == ("a", "c")
    assert error == {"event_id": "b", "error": {"field": "user_id", "message": "is bad"}}
    assert answer.content.endswith(b"\n")


def test_a_batch_as_array() -> None:
    array = b"[" + BATCH.replace(b"\n", b",") + b"]"
    answer = ask("POST", "/v1/score/batch", content=array, headers=JSON)
    assert answer.headers["content-type"] == "application/json"
    assert [each["event_id"] for each in answer.json()] == ["a", "b", "c"]
    assert {each["trace_id"] for each in answer.json()[::2]} == {answer.headers["x-trace-id"]}


@pytest.mark.parametrize(("content", "headers"), [(b"[]", JSON), (b"", NDJSON)])
def test_an_empty_batch(content: bytes, headers: dict[str, str]) -> None:
    answer = ask("POST", "/v1/score/batch", content=content, headers=headers)
    assert (answer.status_code, answer.content) == (200, content)


def test_a_batch_that_is_none() -> None:
    refused(ask("POST", "/v1/score/batch", content=b"{}", headers=JSON), 422, "body")


def test_too_many_events() -> None:
    lines = b"\n".join(b'{"event_id": "%d"}' % index for index in range(11))
    refused(ask("POST", "/v1/score/batch", content=lines, headers=NDJSON), 413, "body")


@pytest.mark.parametrize(
    ("path", "most"), [("/v1/score", MOST_EVENT_BYTES), ("/v1/score/batch", MOST_BATCH_BYTES)]
)
def test_too_large(path: str, most: int) -> None:
    message = refused(ask("POST", path, content=b" " * (most + 1), headers=JSON), 413, "body")
    assert f"{most:,} bytes" in message


@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
@pytest.mark.parametrize("headers", [{}, {"content-type": "text/csv"}])
def test_other_content_type(path: str, headers: dict[str, str]) -> None:
    refused(ask("POST", path, content=EVENT, headers=headers), 415, "content-type")


def test_a_single_event_is_no_ndjson() -> None:
    refused(ask("POST", "/v1/score", content=EVENT, headers=NDJSON), 415, "content-type")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/score/", "/v1/events/", "/V1/score", "//"])
def test_no_such_route(path: str) -> None:
    refused(ask("GET", path), 404, "path")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/score", "POST"),
        ("HEAD", "/v1/score", "POST"),
        ("PUT", "/v1/score/batch", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/v1/events/a", "GET, HEAD"),
        ("OPTIONS", "/v1/routing", "GET, HEAD, PUT"),
    ],
)
def test_no_such_method(method: str, path: str, allow: str) -> None:
    answer = ask(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    if method != "HEAD":
        refused(answer, 405, "method")


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json", "/v1/routing", "/metrics"])
def test_head_is_get_without_a_body(path: str) -> None:
    answer = ask("HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_documents_and_models() -> None:
    assert ask("GET", "/docs").content == DOCS
    assert ask("GET", "/openapi.json").content == OPENAPI
    assert ask("GET", "/v1/routing").json() == {
        "champion": {"version": "v1", "weight": 100.0},
        "challenger": None,
        "shadow": None,
        "revision": 0,
        "changed_at": "",
        "changed_by": "",
    }
    assert ask("GET", "/healthz").json() == {"status": "alive"}


def test_an_event_from_the_queue_and_from_the_recorder() -> None:
    graph = FakeGraph()

    async def conversation(client: httpx.AsyncClient) -> None:
        scored = await client.post("/v1/score", content=EVENT, headers=JSON)
        at_once = await client.get("/v1/events/a")
        await until(lambda: "a" in graph.recorded)
        later = await client.get("/v1/events/a")
        assert scored.json() == at_once.json() == later.json()
        explained = await client.get("/v1/events/a/explanation?method=shap")
        assert explained.json() == {
            "verdict": scored.json(),
            "event": None,
            "evidence": None,
            "explanation": {"version": "v1", "path": "bundles/v1", "columns": 2},
        }

    talk(conversation, graph)


@pytest.mark.parametrize("path", ["/v1/events/x", "/v1/events/x/explanation"])
def test_an_event_that_is_not_kept(path: str) -> None:
    assert "no event of that id" in refused(ask("GET", path), 404, "event_id")


@pytest.mark.parametrize("event_id", ["a/b", "ä ö", "100%", "?"])
def test_ids_of_any_characters(event_id: str) -> None:
    graph = FakeGraph()

    async def conversation(client: httpx.AsyncClient) -> None:
        content = json.dumps({"event_id": event_id}).encode()
        await client.post("/v1/score", content=content, headers=JSON)
        path = f"/v1/events/{quote(event_id, safe='')}"
        assert (await client.get(path)).json()["event_id"] == event_id
        explained = await client.get(f"{path}/explanation")
        assert explained.json()["verdict"]["event_id"] == event_id

    talk(conversation, graph)


def test_an_unknown_method_of_explanation() -> None:
    answer = ask("GET", "/v1/events/a/explanation?method=" + "m" * 500)
    message = refused(answer, 422, "method")
    assert "expected one of shap" in message
    assert len(message) < 100


def test_ready() -> None:
    assert ask("GET", "/readyz").json() == {"status": "ready"}


def test_not_ready_without_every_detector() -> None:
    graph = FakeGraph()
    graph.detectors["first"].plan = [Died()] * 10_000
    answer = ask("GET", "/readyz", graph)
    refused(answer, 503, "detectors")
    assert answer.headers["retry-after"] == "1"


def test_not_ready_without_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "STAGE_DEADLINE_S", 0.1)
    graph = FakeGraph()
    graph.probe.plan = [Died()] * 10_000
    refused(ask("GET", "/readyz", graph), 503, "service")


@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
def test_a_stage_that_is_gone(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(pipelines, "STAGE_DEADLINE_S", 0.1)
    graph = FakeGraph()
    graph.judge.plan = [Died()] * 10_000
    content = EVENT if path == "/v1/score" else b"[" + EVENT + b"]"
    answer = ask("POST", path, graph, content=content, headers=JSON)
    assert "combiner" in refused(answer, 503, "service")
    assert answer.headers["retry-after"] == "1"


def test_a_version_whose_folder_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    graph = FakeGraph()
    graph.prepare.plan = [BundleError("/models/m2", "no such directory")]
    answer = ask("POST", "/v1/score", graph, content=EVENT, headers=JSON)
    assert "PUT /v1/routing" in refused(answer, 503, "model")
    assert "/models/m2" not in answer.text
    assert "/models/m2" in caplog.text


def test_our_own_mistake_tells_nothing_but_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    graph = FakeGraph()
    graph.judge.plan = [ZeroDivisionError("secret detail")]
    answer = ask("POST", "/v1/score", graph, content=EVENT, headers=JSON)
    message = refused(answer, 500, "service")
    assert answer.headers["x-trace-id"] in message
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


def test_keys() -> None:
    guard = Guard(Keyring(None, [key_hash("k")]))
    refused(
        ask("POST", "/v1/score", guard=guard, content=EVENT, headers=JSON), 401, "authorization"
    )
    known = {**JSON, "authorization": "Bearer k"}
    answer = ask("POST", "/v1/score", guard=guard, content=EVENT, headers=known)
    assert answer.status_code == 200
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert ask("GET", path, guard=guard).status_code == 200
    for path in ("/metrics", "/v1/routing", "/v1/events/a"):
        assert ask("GET", path, guard=guard).status_code == 401


def test_scopes(tmp_path: Path) -> None:
    lines: list[str] = []
    names: tuple[Scope, ...] = ("score", "read", "admin")
    secrets = {name: create(tmp_path / "k", name, scopes=(name,), expires=None) for name in names}
    guard = Guard(Keyring(tmp_path / "k"), audit=Audit(lines.append))

    def status(scope: Scope, method: str, path: str, content: bytes | None = None) -> int:
        headers = {**JSON, "x-api-key": secrets[scope]}
        return ask(method, path, guard=guard, content=content, headers=headers).status_code

    assert status("score", "POST", "/v1/score", EVENT) == 200
    assert status("read", "GET", "/metrics") == 200
    assert lines == []
    assert status("score", "GET", "/v1/models") == 403
    assert status("admin", "GET", "/metrics") == 403
    assert status("read", "PUT", "/v1/routing?token=s3cret", b"s3cret") == 403
    assert status("admin", "PUT", "/v1/routing?token=s3cret", b"s3cret") == 422
    told = [json.loads(line) for line in lines]
    assert [(line["what"], line["status"], line["caller"], line["route"]) for line in told] == [
        ("lacks_scope", 403, "score", "/v1/models"), ("lacks_scope", 403, "admin", "/metrics"),
        ("lacks_scope", 403, "read", "/v1/routing"), ("admin", 422, "admin", "/v1/routing"),
    ]  # fmt: skip
    assert "s3cret" not in str(lines)


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/no/such/route"])
def test_without_keys_another_machine_learns_nothing(path: str) -> None:
    async def conversation() -> httpx.Response:
        transport = httpx.ASGITransport(app_of(FakeGraph()), client=("192.0.2.7", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    refused(asyncio.run(conversation()), 403, "client")


def test_too_fast() -> None:
    async def conversation(client: httpx.AsyncClient) -> None:
        first = await client.post("/v1/score", content=EVENT, headers=JSON)
        assert first.status_code == 200
        answer = await client.post("/v1/score", content=EVENT, headers=JSON)
        refused(answer, 429, "rate")
        assert int(answer.headers["retry-after"]) >= 1

    talk(conversation, guard=Guard(requests_per_s=0.001))


def test_overloaded() -> None:
    """Neither more events nor more batches wait than can be answered in time."""
    graph = FakeGraph()

    async def conversation(client: httpx.AsyncClient) -> None:
        gate = asyncio.Event()
        graph.prepare.plan = [gate] * 100
        waiting = [
            asyncio.create_task(client.post("/v1/score/batch", content=b"[]", headers=JSON))
            for _ in range(64)
        ]
        await until(lambda: len(graph.prepare.calls) == BATCH_SLOTS)
        answer = await client.post("/v1/score/batch", content=b"[]", headers=JSON)
        refused(answer, 503, "load")
        assert answer.headers["retry-after"] == "1"
        gate.set()
        assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}

    talk(conversation, graph)


@pytest.mark.parametrize(
    ("traceparent", "honoured"),
    [
        ("00-" + "a1" * 16 + "-" + "b2" * 8 + "-01", True),
        ("00-" + "a1" * 16 + "-" + "b2" * 8 + "-00", True),
        ("00-" + "0" * 32 + "-" + "b2" * 8 + "-01", False),
        ("00-" + "A1" * 16 + "-" + "b2" * 8 + "-01", False),
        ("00-" + "a1" * 16, False),
        ("", False),
    ],
)
def test_traceparent(traceparent: str, honoured: bool) -> None:
    headers = {**JSON, "traceparent": traceparent}
    answer = ask("POST", "/v1/score", content=EVENT, headers=headers)
    trace = answer.headers["x-trace-id"]
    assert answer.json()["trace_id"] == trace
    assert (trace == "a1" * 16) is honoured
    assert re.fullmatch("[0-9a-f]{32}", trace)


def test_metrics() -> None:
    async def conversation(client: httpx.AsyncClient) -> None:
        await client.post("/v1/score", content=EVENT, headers=JSON)
        await client.post("/v1/score", content=EVENT, headers=JSON)
        await client.post("/v1/score", content=b'{"bad": "x"}', headers=JSON)
        await client.get("/v1/events/a")
        await client.get("/anything/else")
        text = (await client.get("/metrics")).text
        for line in (
            'ztad_requests_total{route="/v1/score",status="200"} 2.0',
            'ztad_requests_total{route="/v1/score",status="422"} 1.0',
            'ztad_requests_total{route="/v1/events/{id}",status="200"} 1.0',
            'ztad_requests_total{route="other",status="404"} 1.0',
            'ztad_events_total{outcome="duplicate"} 1.0',
            'ztad_events_total{outcome="ordinary"} 1.0',
            'ztad_events_total{outcome="error"} 1.0',
            "ztad_waiting_events 0.0",
        ):
            assert line in text

    talk(conversation)


Message = MutableMapping[str, Any]


def test_a_client_that_goes_away_before_its_body_is_whole() -> None:
    sent: list[Message] = []
    arriving: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    messages = iter(arriving)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> bytes:
        app = app_of(FakeGraph())
        scope = {"type": "http", "method": "POST", "path": "/v1/score",
                 "client": ("127.0.0.1", 9),
                 "headers": [(b"content-type", b"application/json")]}  # fmt: skip
        await app(scope, receive, send)
        return app._metrics.render()

    metrics = asyncio.run(run())
    assert sent == []
    assert b'ztad_requests_total{route="/v1/score",status="499"} 1.0' in metrics


def test_what_is_answered_is_on_record_when_the_gateway_has_ended() -> None:
    graph = FakeGraph()

    async def run() -> None:
        app = app_of(graph)
        app.start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ztad") as client:
            await client.post("/v1/score", content=EVENT, headers=JSON)
        assert not graph.recorded

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "lifespan.shutdown"}

        async def send(message: MutableMapping[str, Any]) -> None:
            assert set(graph.recorded) == {"a"}
            assert graph.learn.calls == [(["a"],)]

        await app({"type": "lifespan"}, receive, send)

    asyncio.run(run())


def test_lifespan() -> None:
    """Serve and uvicorn ask for it; there is nothing to do."""
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app_of(FakeGraph())({"type": "lifespan"}, receive, send))
    assert [each["type"] for each in sent] == ["lifespan.startup.complete",
                                               "lifespan.shutdown.complete"]  # fmt: skip
