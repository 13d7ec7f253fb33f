"""How users, addresses and devices rest: as bytes, equal to the last bit when they wake."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, ValuesView
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec
import zstandard

from preprocessing import rows
from preprocessing.packing import (
    address_of,
    address_row,
    device_of,
    device_row,
    user_of,
    user_row,
)
from preprocessing.state import Address, Device, User

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

#: Users from whom a dictionary is made: with it a user takes half the bytes. From fewer it would
#: tell nothing of the others; more take longer (a tenth of a second) and help no further.
LEAST_STUDIED = 500
MOST_STUDIED = 2_000
#: Bytes of the dictionary: twice as many make users smaller by a hundredth.
DICTIONARY_BYTES = 32_768
#: zstd's: the next levels save 5 % more and take half as long again.
LEVEL = 1

_ENCODE = msgspec.msgpack.Encoder().encode


class Plain(Generic[T]):
    """Entries of a few bytes, packed as the rows they are."""

    dictionary = b""

    def __init__(
        self, row: Callable[[T], tuple[Any, ...]], of: Callable[[Any], T], kind: Any
    ) -> None:
        self._row = row
        self._of = of
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def take(self, dictionary: bytes) -> None:
        """None is needed."""

    def study(self, entries: ValuesView[T]) -> None:
        """There is nothing to learn."""

    def pack(self, entry: T) -> bytes:
        return _ENCODE(self._row(entry))

    def unpack(self, packed: bytes) -> T | None:
        try:
            return self._of(self._decode(packed))
        except (ValueError, LookupError, struct.error) as error:
            _LOG.error("history: a resting entry is damaged and forgotten (%s)", error)
            return None


class Users:
    """Users, compressed with a dictionary made of the first of them: names of resources and
    networks, what is the same in all. Kept in snapshots beside those who rest."""

    def __init__(self, dictionary: bytes = b"") -> None:
        self._plain = Plain(user_row, user_of, rows.User)
        self.take(dictionary)

    def take(self, dictionary: bytes) -> None:
        """Use the dictionary of a snapshot, or none."""
        self.dictionary = dictionary
        prepared = None
        if dictionary:
            prepared = zstandard.ZstdCompressionDict(dictionary)
            prepared.precompute_compress(level=LEVEL)
        compressor = zstandard.ZstdCompressor(
            level=LEVEL, dict_data=prepared, write_checksum=True, write_dict_id=False
        )
        self._compress = compressor.compress
        self._decompress = zstandard.ZstdDecompressor(dict_data=prepared).decompress

    def study(self, entries: ValuesView[User]) -> None:
        """Make the dictionary, once there are enough users."""
        if self.dictionary or len(entries) < LEAST_STUDIED:
            return
        step = -(-len(entries) // MOST_STUDIED)
        samples: list[bytes | bytearray | memoryview] = [
            self._plain.pack(user) for user in islice(entries, 0, None, step)
        ]
        self.take(zstandard.train_dictionary(DICTIONARY_BYTES, samples).as_bytes())

    def pack(self, entry: User) -> bytes:
        return self._compress(self._plain.pack(entry))

    def unpack(self, packed: bytes) -> User | None:
        try:
            plain = self._decompress(packed)
        except zstandard.ZstdError as error:
            _LOG.error("history: a resting user is damaged and forgotten (%s)", error)
            return None
        return self._plain.unpack(plain)


def addresses() -> Plain[Address]:
    return Plain(address_row, address_of, rows.Address)


def devices() -> Plain[Device]:
    return Plain(device_row, device_of, rows.Device)
