"""What anybody may send to the running graph: the right status, the field named, no harm done."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.graph.served import Served, body, event, until

pytestmark = pytest.mark.ray

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def client(graph: Served) -> Iterator[httpx.Client]:
    with graph.client() as client:
        yield client


@pytest.fixture(autouse=True)
def _unharmed(client: httpx.Client) -> Iterator[None]:
    """After whatever a test did the next ordinary request works."""
    yield
    answer = client.post("/v1/score", content=body(), headers=JSON)
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] is False


def refused(answer: httpx.Response, status: int, field: str) -> str:
    """The message of an error answer, after a look at everything else about it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    error = answer.json()["error"]
    assert error["field"] == field, error
    assert "Traceback" not in answer.text
    assert len(answer.content) < 1000
    return str(error["message"])


NESTED = b"[" * 100_000
BAD_EVENTS = {
    "malformed": (body()[:-1], "body"),
    "empty": (b"", "body"),
    "an array": (b"[" + body() + b"]", "body"),
    "a number": (b"7", "body"),
    "nested brackets": (NESTED, "body"),
    "nested inside": (body()[:-1] + b',"x":' + NESTED + b"}", "body"),
    "invalid UTF-8": (body(user_id="X").replace(b"X", b"\xff\xfe"), "body"),
    "raw NUL byte": (body(user_id="X").replace(b"X", b"\x00"), "body"),
    "escaped NUL": (body(user_id="a\x00b"), "user_id"),
    "NaN": (body(latitude=0.5).replace(b"0.5", b"NaN"), "body"),
    "Infinity": (body(latitude=0.5).replace(b"0.5", b"-Infinity"), "body"),
    "beyond a double": (body(latitude=0.5).replace(b"0.5", b"1e999"), "latitude"),
    "latitude 999": (body(latitude=999), "latitude"),
    "negative bytes": (body(bytes_transferred=-1), "bytes_transferred"),
    "bytes as text": (body(bytes_transferred="7"), "bytes_transferred"),
    "no user": (body(user_id=None), "user_id"),
    "empty user": (body(user_id=""), "user_id"),
    "user is a list": (body(user_id=["ann"]), "user_id"),
    "unknown outcome": (body(outcome="maybe"), "outcome"),
    "no offset": (body(timestamp="2025-06-02T08:15:00"), "timestamp"),
    "year 1": (body(timestamp="0001-01-01T00:00:00Z"), "timestamp"),
    "year 9999": (body(timestamp="9999-12-31T23:59:59Z"), "timestamp"),
    "year 1, east": (body(timestamp="0001-01-01T00:00:00+14:00"), "timestamp"),
    "year 9999, west": (body(timestamp="9999-12-31T23:59:59-14:00"), "timestamp"),
    "no address": (body(source_ip="n/a"), "source_ip"),
    "long id": (body(event_id="x" * 129), "event_id"),
    "half a megabyte": (body(user_agent="x" * (MEBIBYTE // 2)), "user_agent"),
}


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_bad_event(client: httpx.Client, case: str) -> None:
    content, field = BAD_EVENTS[case]
    refused(client.post("/v1/score", content=content, headers=JSON), 422, field)


def test_bad_events_in_their_places(client: httpx.Client) -> None:
    good = [body(event_id=f"hostile-places-{index}") for index in range(len(BAD_EVENTS) + 1)]
    lines = [good[0]]
    fields = []
    for following, (content, field) in zip(good[1:], BAD_EVENTS.values(), strict=True):
        if content.strip():
            lines += [content, following]
            fields.append(field)
    answer = client.post("/v1/score/batch", content=b"\n".join(lines), headers=NDJSON)
    assert answer.status_code == 200, answer.text
    answers = [json.loads(line) for line in answer.content.splitlines()]
    assert [each["error"]["field"] for each in answers[1::2]] == fields
    assert all(each["event_id"].startswith("hostile-places-") for each in answers[::2])
    assert all("score" in each for each in answers[::2])


def test_unknown_keys_are_ignored(client: httpx.Client) -> None:
    answer = client.post("/v1/score", content=body(unknown={"a": [1, None]}), headers=JSON)
    assert answer.status_code == 200


@pytest.mark.parametrize("content", [b"[1, ", b"[" + body() + b",]", NESTED, b"{}", b"\xff", b""])
def test_malformed_array(client: httpx.Client, content: bytes) -> None:
    refused(client.post("/v1/score/batch", content=content, headers=JSON), 422, "body")


def test_ten_megabytes_of_text(client: httpx.Client) -> None:
    huge = body(user_agent="x" * (10 * MEBIBYTE))
    refused(client.post("/v1/score", content=huge, headers=JSON), 413, "body")
    answer = client.post("/v1/score/batch", content=b"[" + huge + b"]", headers=JSON)
    assert answer.status_code == 200
    assert answer.json()[0]["error"]["field"] == "user_agent"


def test_more_than_sixteen_mebibytes(client: httpx.Client) -> None:
    content = b" " * (16 * MEBIBYTE + 1)
    refused(client.post("/v1/score/batch", content=content, headers=JSON), 413, "body")


def test_chunked_and_endless(client: httpx.Client) -> None:
    """Without a Content-Length the bound holds too."""
    chunks = (b" " * MEBIBYTE for _ in range(18))
    refused(client.post("/v1/score/batch", content=chunks, headers=JSON), 413, "body")


def test_too_many_events(client: httpx.Client) -> None:
    line = body(user_id="many")
    for content, headers in (
        (b"[" + b",".join([line] * 10_001) + b"]", JSON),
        (b"\n".join([line] * 10_001), NDJSON),
    ):
        answer = client.post("/v1/score/batch", content=content, headers=headers)
        assert "10,001" in refused(answer, 413, "body")


def test_ten_thousand_events(client: httpx.Client) -> None:
    line = json.dumps(event(user_id="full", event_id=None)).encode()
    answer = client.post("/v1/score/batch", content=b"\n".join([line] * 10_000), headers=NDJSON)
    assert answer.status_code == 200
    ids = [json.loads(line)["event_id"] for line in answer.content.splitlines()]
    assert len(set(ids)) == len(ids) == 10_000


@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", ""])
def test_other_content_type(client: httpx.Client, path: str, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    refused(client.post(path, content=body(), headers=headers), 415, "content-type")


def test_unknown_routes_and_methods(client: httpx.Client) -> None:
    refused(client.get("/v2/score"), 404, "path")
    refused(client.get("/v1/events/"), 404, "path")
    refused(client.get("/v1/score"), 405, "method")
    refused(client.delete("/v1/events/x"), 405, "method")
    refused(client.get("/v1/events/never-seen"), 404, "event_id")
    refused(client.get("/v1/events/never-seen/explanation?method=magic"), 422, "method")


STRANGE_HEADERS = {
    "traceparent": [b"rubbish", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff\xfe"],
    "tracestate": [b"=", b"a=b," * 40, b"\xff"],
    "authorization": [b"Bearer", b"\xff"],
    "x-request-id": [b"x" * 2000, b"\xff"],
    "serve_multiplexed_model_id": [b"\xff"],
    "serve-multiplexed-model-id": [b"\xff"],
    "x-request-timeout-seconds": [b"soon"],
    "cookie": [b"\xff"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in STRANGE_HEADERS for value in STRANGE_HEADERS[name]],
)
def test_strange_headers(client: httpx.Client, name: str, value: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (name.encode(), value)]
    answer = client.post("/v1/score", content=body(), headers=headers)
    assert answer.status_code == 200, answer.text


def _connection(graph: Served) -> socket.socket:
    parts = urlsplit(graph.url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=30)


def _head(length: int) -> bytes:
    lines = ("POST /v1/score HTTP/1.1", "Host: x", "Content-Type: application/json",
             f"Content-Length: {length}", "", "")  # fmt: skip
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("sent", [0, 1, len(body()) - 1])
def test_a_body_cut_off(graph: Served, sent: int) -> None:
    content = body()
    with _connection(graph) as connection:
        connection.sendall(_head(len(content)) + content[:sent])
        connection.shutdown(socket.SHUT_WR)
        assert b" 200 " not in connection.recv(4096)[:32]


def test_a_slow_client_goes_away(graph: Served, client: httpx.Client) -> None:
    with _connection(graph) as connection:
        connection.sendall(_head(len(body())) + body()[:9])
        # While it dawdles others are served.
        assert client.post("/v1/score", content=body(), headers=JSON).status_code == 200


@pytest.mark.parametrize(
    "request_line", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\n"]
)
def test_no_http(graph: Served, request_line: bytes) -> None:
    with _connection(graph) as connection:
        connection.sendall(request_line)
        connection.shutdown(socket.SHUT_WR)
        assert b" 500 " not in connection.recv(4096)[:32]


def test_clients_that_leave_while_waiting(graph: Served, client: httpx.Client) -> None:
    """Their neighbours in the same micro-batch get their verdicts, and so do their events."""
    leavers, stayers = asyncio.run(_leave_and_stay(graph))
    assert [answer.status_code for answer in stayers] == [200] * len(stayers)
    assert all(answer.json()["degraded"] is False for answer in stayers)
    for event_id in leavers[:1]:
        # Scored although nobody waited, or scored now: in any case answered.
        again = client.post("/v1/score", content=body(event_id=event_id), headers=JSON)
        assert again.status_code == 200
        assert again.json()["event_id"] == event_id


async def _leave_and_stay(graph: Served) -> tuple[list[str], list[httpx.Response]]:
    """Forty requests, every other one of which closes its connection at once."""
    leavers = [f"leaver-{index}" for index in range(20)]

    async def leave(event_id: str) -> None:
        content = body(event_id=event_id)
        _, writer = await asyncio.open_connection("127.0.0.1", graph.port)
        writer.write(_head(len(content)) + content)
        await writer.drain()
        writer.transport.abort()

    async with httpx.AsyncClient(base_url=graph.url, trust_env=False, timeout=60.0) as client:
        answers = await asyncio.gather(
            *(
                step
                for index, event_id in enumerate(leavers)
                for step in (
                    client.post(
                        "/v1/score", content=body(event_id=f"stayer-{index}"), headers=JSON
                    ),
                    leave(event_id),
                )
            )
        )
    return leavers, [answer for answer in answers if isinstance(answer, httpx.Response)]


def test_many_at_once_some_bad(graph: Served) -> None:
    answers = asyncio.run(_many(graph))
    for index, answer in enumerate(answers):
        if index % 7 == 3:
            refused(answer, 422, "latitude")
        else:
            assert answer.status_code == 200, answer.text
            assert answer.json()["event_id"] == f"many-{index}"
            assert answer.json()["user_id"] == f"user-{index}"


async def _many(graph: Served) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=graph.url, trust_env=False, timeout=60.0, limits=limits
    ) as client:
        return await asyncio.gather(
            *(
                client.post(
                    "/v1/score",
                    content=body(
                        event_id=f"many-{index}",
                        user_id=f"user-{index}",
                        latitude=999 if index % 7 == 3 else 52.5,
                    ),
                    headers=JSON,
                )
                for index in range(200)
            )
        )


def test_nothing_was_our_mistake(graph: Served, client: httpx.Client) -> None:
    """No request of this module, whatever it was, was answered with a 500."""
    until(lambda: client.get("/metrics").status_code == 200)
    assert 'status="500"' not in client.get("/metrics").text
