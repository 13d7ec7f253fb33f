"""The little HTTP straight on ASGI: bodies in parts, bounds, answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from services.http import (
    AnswerRegardless,
    Disconnected,
    HttpError,
    PlainHeaders,
    Response,
    Stream,
    header,
    media_type,
    middlewares,
    read_body,
    respond,
    stream,
)

Message = MutableMapping[str, Any]


def read(messages: list[Message], *, most_bytes: int = 100, **headers: str) -> bytes:
    """The body of a request that arrives as these messages."""
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return asyncio.run(read_body({"headers": pairs}, receive, most_bytes=most_bytes))


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


def test_a_body_in_one_piece_and_in_parts() -> None:
    assert read([part(b"abc", more=False)]) == b"abc"
    assert read([{"type": "http.request", "body": b"abc"}]) == b"abc"
    assert read([{"type": "http.request"}]) == b""
    assert read([part(b"a"), part(b""), part(b"bc", more=False)]) == b"abc"


@pytest.mark.parametrize("messages", [[GONE], [part(b"a"), GONE], [part(b"a"), part(b"b"), GONE]])
def test_a_client_that_goes_away(messages: list[Message]) -> None:
    with pytest.raises(Disconnected):
        read(messages)


@pytest.mark.parametrize(
    "messages",
    [[part(b"12345", more=False)], [part(b"123"), part(b"45", more=False)], [part(b"12345"), GONE]],
)
def test_a_body_that_is_too_large(messages: list[Message]) -> None:
    with pytest.raises(HttpError) as refused:
        read(messages, most_bytes=4)
    assert (refused.value.status, refused.value.field) == (413, "body")


def test_a_length_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(HttpError, match="larger than 4 bytes"):
        read([], most_bytes=4, content_length="5")
    assert read([part(b"1234", more=False)], most_bytes=4, content_length="4") == b"1234"
    assert read([part(b"1", more=False)], content_length="many") == b"1"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"application/json", b"application/json"),
        (b"Application/JSON; charset=utf-8", b"application/json"),
        (b" application/x-ndjson ;", b"application/x-ndjson"),
        (b"", b""),
    ],
)
def test_media_type(value: bytes, kind: bytes) -> None:
    assert media_type({"headers": [(b"content-type", value)]}) == kind


def test_headers() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]}
    assert (header(scope, b"a"), header(scope, b"b"), header(scope, b"c")) == (b"1", b"2", None)
    assert media_type({"headers": []}) == b""


def answered(response: Response, *, head: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(respond(send, response, "t" * 32, head=head))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def test_an_answer() -> None:
    status, headers, body = answered(Response(200, b"abc", headers=((b"x", b"y"),)))
    assert (status, body) == (200, b"abc")
    assert headers == {
        b"content-type": b"application/json",
        b"content-length": b"3",
        b"x-trace-id": b"t" * 32,
        b"x": b"y",
    }


def test_an_answer_to_head_has_no_body() -> None:
    _, headers, body = answered(Response(200, b"abc"), head=True)
    assert (headers[b"content-length"], body) == (b"3", b"")


class Counting:
    """Chunks that come as soon as they are wanted; knows how many were, and whether it is over."""

    def __init__(self, chunks: int | None = None) -> None:
        self.left = chunks
        self.given = 0
        self.closed = False

    def __aiter__(self) -> Counting:
        return self

    async def __anext__(self) -> bytes:
        if self.given == self.left:
            raise StopAsyncIteration
        self.given += 1
        await asyncio.sleep(0)
        return b"%d;" % self.given

    async def aclose(self) -> None:
        self.closed = True


def streamed(
    chunks: Counting, *, leaves_after: int | None = None, head: bool = False
) -> list[Message]:
    """What is sent to a client that leaves after so many chunks, or stays."""
    sent: list[Message] = []

    async def run() -> None:
        gone = asyncio.Event()

        async def send(message: Message) -> None:
            sent.append(message)
            if leaves_after is not None and len(sent) > leaves_after:
                gone.set()
                await asyncio.Event().wait()  # nobody reads any more

        async def receive() -> Message:
            await gone.wait()
            return GONE

        async with asyncio.timeout(30):
            await stream(receive, send, Stream(chunks), "t" * 32, head=head)

    asyncio.run(run())
    return sent


def test_a_stream_goes_on_until_it_ends() -> None:
    chunks = Counting(3)
    start, *parts = streamed(chunks)
    assert dict(start["headers"])[b"content-type"] == b"text/event-stream"
    assert [part["body"] for part in parts] == [b"1;", b"2;", b"3;", b""]
    assert [part.get("more_body", False) for part in parts] == [True, True, True, False]
    assert chunks.closed


def test_a_stream_is_over_when_its_client_leaves() -> None:
    chunks = Counting()
    streamed(chunks, leaves_after=5)
    assert chunks.given == 5
    assert chunks.closed


def test_a_stream_to_head_has_no_chunks() -> None:
    chunks = Counting()
    _, end = streamed(chunks, head=True)
    assert (end["body"], chunks.given, chunks.closed) == (b"", 0, True)


def test_an_error_names_its_field_and_when_to_come_again() -> None:
    response = HttpError(
        503, "load", "busy", retry_after_s=2, headers=((b"allow", b"GET"),)
    ).response()
    assert json.loads(response.body) == {"error": {"field": "load", "message": "busy"}}
    assert dict(response.headers) == {b"allow": b"GET", b"retry-after": b"2"}
    assert HttpError(422, "x", "y").response().headers == ()


def test_header_values_that_are_no_text_are_left_out() -> None:
    seen = []

    async def app(scope: Message, receive: object, send: object) -> None:
        seen.append(scope.get("headers"))

    plain = [(b"a", b"1"), (b"b", b"\xff"), (b"c", b"3")]
    for scope in ({"headers": plain}, {"headers": plain[:1]}, {"type": "lifespan"}):
        asyncio.run(PlainHeaders(app)(scope, None, None))  # type: ignore[arg-type]
    assert seen == [[(b"a", b"1"), (b"c", b"3")], [(b"a", b"1")], None]


def test_serve_is_given_the_middleware() -> None:
    found = [middleware.cls for middleware in middlewares()]
    assert found == [AnswerRegardless, PlainHeaders]


def test_serve_is_told_not_to_wait_for_disconnects() -> None:
    scope: Message = {"type": "http", "headers": [(b"host", b"h")]}

    async def app(scope: Message, receive: object, send: object) -> None:
        assert scope["headers"][-1] == (b"x-request-disconnect-disabled", b"?1")

    asyncio.run(AnswerRegardless(app)(scope, None, None))  # type: ignore[arg-type]
