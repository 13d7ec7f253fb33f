"""Numbers as one run of bytes: doubles, little-endian, without an object for each of them."""

from __future__ import annotations

from librt.strings import BytesWriter, read_f64_le, write_f64_le
from mypy_extensions import i64


def number(numbers: bytes, index: i64) -> float:
    """One of them. Raises IndexError beyond the last."""
    return read_f64_le(numbers, 8 * index)


def put2(out: BytesWriter, one: float, two: float) -> None:
    write_f64_le(out, one)
    write_f64_le(out, two)


def put3(out: BytesWriter, one: float, two: float, three: float) -> None:
    write_f64_le(out, one)
    write_f64_le(out, two)
    write_f64_le(out, three)
