"""Many small things that are much alike, in one compressed block, each found by its place.

A table of blocks has the columns ``place``, the last place of the block, ``first`` and ``block``,
and perhaps others. A block goes as a whole.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
import zstandard

#: Fewer would be larger together, more take longer to be undone for one of them: 0.1 ms of these.
MOST_IN_BLOCK = 250
#: The next levels take longer and save nothing.
_LEVEL = 1
#: How a block begins that was compressed by zlib, as all were before there was zstd.
_ZLIB = b"\x78"

Table = Literal["events", "documents"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, bytes]).decode


def blocks(things: Mapping[int, bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Last place, first place and block of things by their places, which grow."""
    compress = zstandard.ZstdCompressor(level=_LEVEL).compress
    places = list(things)
    for start in range(0, len(places), MOST_IN_BLOCK):
        some = places[start : start + MOST_IN_BLOCK]
        yield some[-1], some[0], compress(_encode({place: things[place] for place in some}))


class Blocks:
    """Those of one table, as one transaction sees them; each is undone once."""

    def __init__(self, connection: sqlite3.Connection, table: Table) -> None:
        self._connection = connection
        self._find = (
            f"SELECT block FROM {table} WHERE place >= ? AND first <= ? ORDER BY place LIMIT 1"
        )
        self._known: dict[int, bytes] = {}

    def get(self, place: int) -> bytes | None:
        """What is at a place, if it is kept."""
        if place not in self._known:
            row = self._connection.execute(self._find, (place, place)).fetchone()
            if row is not None:
                self._known |= _undone(row[0])
        return self._known.get(place)


def _undone(block: bytes) -> dict[int, bytes]:
    whole = zlib.decompress(block) if block[:1] == _ZLIB else zstandard.decompress(block)
    return _decode(whole)
