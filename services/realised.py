"""The alert budget as it turns out: events over the threshold per 1,000 active users of a day.

Users are counted without being remembered: HyperLogLog (Flajolet et al. 2007) with 2^14 registers,
16 KiB a day and a standard error of 0.8 %, over a CRC-32 of the user id that is mixed to 64 bits.
A day is a UTC day of the events' own time, as the budget means it (``ensemble/budget.py``).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

DAY_S = 86400.0
#: The running day, the one before, one to come (clocks differ), and one to spare.
MOST_DAYS = 4
_BITS = 14
_REGISTERS = 1 << _BITS
#: Bias correction of the paper for this many registers.
_ALPHA = 0.7213 / (1.0 + 1.079 / _REGISTERS)


@dataclass(frozen=True, slots=True)
class DayCount:
    """What is known of a day; ``number`` in days since the epoch."""

    number: int
    users: float
    flagged: int

    @property
    def per_1000(self) -> float:
        """Events over the threshold per 1,000 active users."""
        return 1000.0 * self.flagged / self.users if self.users else 0.0


@dataclass(slots=True)
class _Day:
    flagged: int = 0
    registers: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(_REGISTERS, np.uint8))


class _Encoded(msgspec.Struct, array_like=True):
    number: int
    flagged: int
    registers: bytes


class Realised:
    """Counts the newest few days; events of older ones are not counted. One thread.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._days: dict[int, _Day] = {}

    def add(
        self, users: Sequence[str], stamps: NDArray[np.float64], flagged: Sequence[int]
    ) -> None:
        """Count events: their users, when they happened, and which rows are over the threshold."""
        if not users:
            return
        days = (stamps // DAY_S).astype(np.int64)
        for number in np.unique(days)[-MOST_DAYS:].tolist():
            day = self._day(number)
            if day is None:
                continue
            there = days == number
            day.flagged += int(there[list(flagged)].sum())
            whole = bool(there.all())
            found = set(users) if whole else {users[row] for row in np.flatnonzero(there).tolist()}
            _count(day.registers, found)

    def running(self) -> DayCount | None:
        """The newest day that has begun."""
        begun = self._begun()
        return self._told(begun[-1]) if begun else None

    def last(self) -> DayCount | None:
        """The newest day before the running one: a full day."""
        begun = self._begun()
        return self._told(begun[-2]) if len(begun) > 1 else None

    def encode(self) -> bytes:
        """What :meth:`restore` takes, at most 64 KiB and a little."""
        days = sorted(self._days.items())
        return msgspec.msgpack.encode(
            [_Encoded(number, day.flagged, day.registers.tobytes()) for number, day in days]
        )

    def restore(self, encoded: bytes) -> None:
        """Go on counting from there; raises ValueError for what is no such count."""
        try:
            found = msgspec.msgpack.decode(encoded, type=list[_Encoded])
        except msgspec.DecodeError as error:
            raise ValueError(f"not a count of active users: {error}") from None
        if any(len(each.registers) != _REGISTERS for each in found) or len(found) > MOST_DAYS:
            raise ValueError("not a count of active users: of another size")
        self._days = {
            each.number: _Day(each.flagged, np.frombuffer(each.registers, np.uint8).copy())
            for each in found
        }

    def _day(self, number: int) -> _Day | None:
        """The day, in place of the oldest if there are enough; None for an older one."""
        if number not in self._days:
            if len(self._days) >= MOST_DAYS:
                oldest = min(self._days)
                if number < oldest:
                    return None
                del self._days[oldest]
            self._days[number] = _Day()
        return self._days[number]

    def _begun(self) -> list[int]:
        today = int(self._clock() // DAY_S)
        return sorted(number for number in self._days if number <= today)

    def _told(self, number: int) -> DayCount:
        day = self._days[number]
        return DayCount(number, _estimate(day.registers), day.flagged)


def _count(registers: NDArray[np.uint8], users: set[str]) -> None:
    hashes = _mixed(np.array([zlib.crc32(user.encode()) for user in users], np.uint64))
    places = (hashes >> np.uint64(64 - _BITS)).astype(np.intp)
    rest = (hashes & np.uint64((1 << (64 - _BITS)) - 1)).astype(np.float64)
    # frexp's exponent is the length in bits: what is missing to the full length are leading zeros.
    ranks = (64 - _BITS + 1 - np.frexp(rest)[1]).astype(np.uint8)
    np.maximum.at(registers, places, ranks)


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64: every bit of the input reaches every bit of the result."""
    mixed = (hashes + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return found


def _estimate(registers: NDArray[np.uint8]) -> float:
    """How many different users: the paper's estimate, linear counting while there are few."""
    raw = _ALPHA * _REGISTERS**2 / float(np.ldexp(1.0, -registers.astype(np.int64)).sum())
    empty = int((registers == 0).sum())
    if raw <= 2.5 * _REGISTERS and empty:
        return float(_REGISTERS * np.log(_REGISTERS / empty))
    return raw
