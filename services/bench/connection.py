"""The client's side of HTTP/1.1: one keep-alive connection and just enough parsing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


class Malformed(ValueError):
    """Not an HTTP/1.1 answer that can be measured."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body; ``last`` when the server closes the connection after it."""

    status: int
    body: bytes
    last: bool


class AnswerParser:
    """Cuts answers with a content length out of a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._body_at = 0
        self._end = -1
        self._status = 0
        self._last = False

    def feed(self, data: bytes) -> Answer | None:
        """The answer once it is whole; raises :class:`Malformed`."""
        buffer = self._buffer
        buffer += data
        if self._end < 0 and not self._read_head():
            return None
        if len(buffer) < self._end:
            return None
        answer = Answer(self._status, bytes(buffer[self._body_at : self._end]), self._last)
        del buffer[: self._end]
        self._end = -1
        return answer

    def _read_head(self) -> bool:
        """Status and length, once the head is whole."""
        end = self._buffer.find(_END)
        if end < 0:
            if len(self._buffer) > 65_536:
                raise Malformed("no end of the head")
            return False
        head = bytes(self._buffer[:end]).lower()
        if head[:7] != b"http/1." or not head[9:12].isdigit():
            raise Malformed(f"no status line: {head[:40]!r}")
        self._status = int(head[9:12])
        self._body_at = end + len(_END)
        self._last = b"\r\nconnection: close" in head or head[7:8] == b"0"
        self._end = self._body_at + _content_length(head)
        return True


def _content_length(head: bytes) -> int:
    """0 for an answer without a length: then what follows is of no interest but the close."""
    at = head.find(_LENGTH)
    if at < 0:
        if b"\r\ntransfer-encoding:" in head:
            raise Malformed("chunked answers are not measured")
        return 0
    digits = head[at + len(_LENGTH) :].split(b"\r\n", 1)[0].strip()
    if not digits.isdigit():
        raise Malformed(f"content-length {digits!r}")
    return int(digits)


class Owner(Protocol):
    """Who uses a connection."""

    def answered(self, connection: Connection, answer: Answer) -> None:
        """The request that was sent last has its answer."""

    def ended(self, connection: Connection, reason: str) -> None:
        """The connection is gone; ``reason`` as in ``outcome.NO_ANSWER``."""


class Connection(asyncio.Protocol):
    """One request at a time on one socket."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = AnswerParser()
        self._transport: asyncio.Transport | None = None
        self._reason = "connection lost"
        self.sent = 0.0
        self.events = 0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by class, only by what they do.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, events: int, now: float) -> None:
        """Send one request of so many events."""
        assert self._transport is not None
        self.busy, self.events, self.sent = True, events, now
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            answer = self._parser.feed(data)
        except Malformed:
            self._reason = "malformed answer"
            self.close()
            return
        if answer is not None:
            self.busy = False
            if answer.last:
                self.close()
            self._owner.answered(self, answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.ended(self, self._reason)
