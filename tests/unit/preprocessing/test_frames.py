"""Frames: whatever happened to a file, whole frames are read and the rest is reported."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.frames import framed, read

PAYLOADS = st.lists(st.binary(max_size=40), max_size=5)


def payloads(data: bytes) -> list[bytes]:
    return [bytes(payload) for payload in read(data).payloads]


@given(PAYLOADS)
def test_what_was_framed_is_read(written: list[bytes]) -> None:
    frames = read(b"".join(map(framed, written)))
    assert [bytes(payload) for payload in frames.payloads] == written
    assert (frames.damaged, frames.torn_bytes) == (0, 0)


@given(PAYLOADS, st.data())
def test_a_torn_end_costs_one_frame(written: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(framed, written))
    last = framed(b"the last")
    cut = data.draw(st.integers(1, len(last) - 1))
    frames = read(whole + last[:cut])
    assert [bytes(payload) for payload in frames.payloads] == written
    assert (frames.damaged, frames.torn_bytes) == (0, cut)


@given(st.integers(0, len(framed(b"second")) - 1), st.integers(1, 255))
def test_a_changed_byte_costs_one_frame(at: int, change: int) -> None:
    second = bytearray(framed(b"second"))
    second[at] ^= change
    frames = read(framed(b"first") + bytes(second) + framed(b"third"))
    assert [bytes(payload) for payload in frames.payloads] == [b"first", b"third"]
    assert (frames.damaged, frames.torn_bytes) == (1, 0)


@given(st.binary(max_size=100))
def test_any_bytes_are_read(data: bytes) -> None:
    frames = read(data)
    assert sum(map(len, frames.payloads)) + frames.torn_bytes <= len(data)


def test_a_frame_inside_a_payload_is_no_frame() -> None:
    assert payloads(framed(framed(b"inner"))) == [framed(b"inner")]
