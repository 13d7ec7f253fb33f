"""The little HTTP that the gateway needs, straight on ASGI.

No framework: on the hot path a router and request objects would cost more than our own work.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
NDJSON = b"application/x-ndjson"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
EVENTS = b"text/event-stream"


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Chunks(Protocol):
    """What an asynchronous generator of bytes offers."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Nobody wants any more."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on until the client leaves or ``chunks`` end."""

    chunks: Chunks
    content_type: bytes = EVENTS
    status: int = 200


class HttpError(Exception):
    """An answer that is no verdict: status, the field at fault, and what is expected of it."""

    def __init__(
        self,
        status: int,
        field: str,
        message: str,
        *,
        retry_after_s: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.message = message
        self.retry_after_s = retry_after_s
        self.headers = headers

    def response(self) -> Response:
        """``{"error": {"field", "message"}}`` with ``Retry-After`` where there is a point."""
        retry = self.retry_after_s
        again = ((b"retry-after", str(retry).encode()),) if retry is not None else ()
        body = error_body(self.field, self.message)
        return Response(self.status, body, JSON, (*self.headers, *again))


class Disconnected(Exception):
    """The client went away before its request was whole; there is nobody to answer."""


def error_body(field: str, message: str) -> bytes:
    return msgspec.json.encode({"error": {"field": field, "message": message}})


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for key, value in pairs:
        if key == name:
            return value
    return None


def media_type(scope: Scope) -> bytes:
    """The content type without parameters, lower case; empty if there is none."""
    return (header(scope, b"content-type") or b"").split(b";")[0].strip().lower()


class PlainHeaders:
    """ASGI middleware in front of Serve: header values that are not ASCII are left out.

    Serve decodes some headers on its way to us, and would answer 500 to what is no text.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope.get("headers", ())
        if not all(value.isascii() for _, value in headers):
            scope["headers"] = [pair for pair in headers if pair[1].isascii()]
        await self._app(scope, receive, send)


class AnswerRegardless:
    """ASGI middleware in front of Serve: a client that goes away does not cancel its request.

    Serve would run two more tasks for every request to notice it, a sixth of the gateway's CPU.
    Micro-batches are scored together anyway; a route that must know reads ``http.disconnect``.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [*scope.get("headers", ()), (b"x-request-disconnect-disabled", b"?1")]
        await self._app(scope, receive, send)


def middlewares() -> list[Any]:
    """What Serve is to put in front of the gateway; it asks for Starlette's description of it."""
    from starlette.middleware import Middleware

    return [Middleware(AnswerRegardless), Middleware(PlainHeaders)]


async def read_body(scope: Scope, receive: Receive, *, most_bytes: int) -> bytes:
    """The request body; raises 413 once it is too large and :class:`Disconnected`."""
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > most_bytes:
        raise too_large(most_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > most_bytes:
            raise too_large(most_bytes)
        return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most_bytes:
            raise too_large(most_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def too_large(most_bytes: int) -> HttpError:
    message = f"larger than {most_bytes:,} bytes; split it and send the parts"
    return HttpError(413, "body", message)


async def respond(send: Send, response: Response, trace_id: str, *, head: bool = False) -> None:
    """Send a whole answer, its headers only for ``head``; every one carries ``X-Trace-Id``."""
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
        (b"x-trace-id", trace_id.encode()),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})


async def stream(
    receive: Receive, send: Send, response: Stream, trace_id: str, *, head: bool = False
) -> None:
    """Send chunks as they come until the client leaves, none for ``head``; then close them."""
    async with contextlib.aclosing(response.chunks):
        await _stream(receive, send, response, trace_id, head)


async def _stream(
    receive: Receive, send: Send, response: Stream, trace_id: str, head: bool
) -> None:
    headers = [
        (b"content-type", response.content_type),
        (b"cache-control", b"no-store"),
        (b"x-trace-id", trace_id.encode()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if head:
        await send({"type": "http.response.body", "body": b""})
        return
    sending = asyncio.ensure_future(_send_chunks(send, response))
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _send_chunks(send: Send, response: Stream) -> None:
    async for chunk in response.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
