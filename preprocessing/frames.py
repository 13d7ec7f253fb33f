"""Framed payloads in a file: what was cut off or changed is found out, and read around.

A frame is a mark, the payload's length and CRC-32 (little-endian), and the payload. A file that
was being appended to when its process died ends in a torn frame; damage further up loses the
frames it touches, no others.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import Struct

#: The length is eight bytes, so that a header has NUL bytes and no text can look like a frame.
_HEADER = Struct("<4sQI")
_MARK = b"\xc1ZTF"  # 0xc1 is the one byte that msgpack never uses


@dataclass(frozen=True, slots=True)
class Frames:
    """What a file held: whole payloads in order and where their frames begin, damaged stretches
    between them, and how many bytes of an unfinished frame at the end."""

    payloads: list[memoryview]
    places: list[int]
    damaged: int
    torn_bytes: int


def framed(payload: bytes) -> bytes:
    """The payload as one frame."""
    return _HEADER.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


def read(data: bytes) -> Frames:
    """All whole frames of ``data``.

    >>> frames = read(framed(b"one") + b"?" + framed(b"two") + framed(b"three")[:-1])
    >>> [bytes(payload) for payload in frames.payloads], frames.damaged, frames.torn_bytes
    ([b'one', b'two'], 1, 20)
    """
    payloads: list[memoryview] = []
    places: list[int] = []
    at = damaged = 0
    while at < len(data):
        payload = _payload(data, at)
        if payload is not None:
            payloads.append(payload)
            places.append(at)
            at += _HEADER.size + len(payload)
            continue
        whole = _next_whole(data, at + 1)
        if whole is None:
            break
        damaged += 1
        at = whole
    return Frames(payloads, places, damaged, len(data) - at)


def _payload(data: bytes, at: int) -> memoryview | None:
    """The payload of the frame that begins at ``at``, or None if no whole one does."""
    start = at + _HEADER.size
    if start > len(data):
        return None
    mark, length, crc = _HEADER.unpack_from(data, at)
    if mark != _MARK or length > len(data) - start:
        return None
    payload = memoryview(data)[start : start + length]
    return payload if zlib.crc32(payload) == crc else None


def _next_whole(data: bytes, at: int) -> int | None:
    """Where the next whole frame at or after ``at`` begins."""
    while (at := data.find(_MARK, at)) >= 0:
        if _payload(data, at) is not None:
            return at
        at += 1
    return None
