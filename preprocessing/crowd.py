"""Which users use which value: what peers and the tenant know of a value that is new to a user.

A crowd keeps, for every value of a field, a bitmap with one bit per user. Two bitmaps and one
``&`` tell how many users share two values, so a user's peers need no clusters: they are those who
share the most resources with that user. In a tenant of many users only a sample of them takes part,
always the same ones (a hash of the name), so that bitmaps stay sparse and memory stays bounded: at
most 370 bytes per value.

Two generations fade in turn: a crowd knows the last one to two periods.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log2
from typing import Final, final
from zlib import crc32

from mypy_extensions import mypyc_attr

from preprocessing.history import SHARED

#: Bits of a bitmap.
SLOTS: Final = 1024
#: Users of a tenant up to which all take part; beyond it a half, a quarter and so on do.
MOST_SAMPLED: Final = 512
#: Sharing less than this many users with somebody is no peer group.
LEAST_PEERS: Final = 8
#: Peers share up to this many resources with a user; the more they share, the nearer they are.
MOST_SHARED: Final = 4
#: Pseudo-users of the whole tenant's habits, mixed into those of the peers.
PRIOR_USERS: Final = 2.0

_RESOURCE: Final = SHARED.index("resource")
_EMPTY: Final = bytes(SLOTS // 8)


def slot(user_id: str, users: float) -> int:
    """The user's bit in a tenant of ``users``, or -1 if this user is not in the sample."""
    number = crc32(user_id.encode())
    halvings = (int(users) // MOST_SAMPLED).bit_length()
    return number % SLOTS if (number >> 16) & ((1 << halvings) - 1) == 0 else -1


def _generation() -> list[dict[str, bytearray]]:
    """One dictionary per shared field, and a last one whose only value stands for everybody."""
    return [{} for _ in range(len(SHARED) + 1)]


@final
@mypyc_attr(acyclic=True)
class Crowd:
    """Users by value, per field of ``history.SHARED``; ``since_s`` begins the present period."""

    __slots__ = ("before", "now", "since_s")

    def __init__(self) -> None:
        self.since_s = 0.0
        self.now = _generation()
        self.before = _generation()

    def turn(self, at_s: float, period_s: float) -> None:
        """Begin a new period if it is time."""
        if at_s >= self.since_s + period_s:
            recent = at_s < self.since_s + 2 * period_s
            self.before = self.now if recent else _generation()
            self.now = _generation()
            self.since_s = at_s - at_s % period_s

    def add(self, field: int, value: str, bit: int, most_values: int) -> None:
        """Note that a user (``bit`` from :func:`slot`, >= 0) uses a value."""
        users = self.now[field]
        bitmap = users.get(value)
        if bitmap is None:
            if len(users) >= most_values:
                return
            bitmap = users[value] = bytearray(_EMPTY)
        bitmap[bit >> 3] |= 1 << (bit & 7)

    def join(self, bit: int) -> None:
        """Note that a user takes part at all."""
        self.add(len(SHARED), "", bit, 1)

    def users(self, field: int, value: str) -> int:
        """Bitmap of the users of a value."""
        found = int.from_bytes(self.now[field].get(value, b""), "little")
        return found | int.from_bytes(self.before[field].get(value, b""), "little")

    def everybody(self) -> int:
        """Bitmap of all who take part."""
        return self.users(len(SHARED), "")

    def overlap(self, resource: str, others: Iterable[str], own: int) -> float:
        """The largest share of users, without ``own``, that a resource has in common with one of
        others, in [0, 1]: resources of one team are used by the same people."""
        mine, most = self.users(_RESOURCE, resource) & ~own, 0.0
        count = mine.bit_count()
        for other in others if count else ():
            theirs = self.users(_RESOURCE, other) & ~own
            if theirs:
                most = max(most, (mine & theirs).bit_count() / min(count, theirs.bit_count()))
        return most

    def peers(self, resources: Iterable[str], own: int) -> int:
        """Bitmap of the users who share most with a user of these resources, without ``own``.

        Level k holds those who share at least k + 1 of them; the highest level with a group of
        people counts. What more than half of all use tells nobody apart.
        """
        half = self.everybody().bit_count() / 2
        levels = [0] * MOST_SHARED
        for resource in resources:
            users = self.users(_RESOURCE, resource) & ~own
            if users.bit_count() <= half:
                for level in range(MOST_SHARED - 1, 0, -1):
                    levels[level] |= levels[level - 1] & users
                levels[0] |= users
        for users in reversed(levels):
            if users.bit_count() >= LEAST_PEERS:
                return users
        return 0


def tenant_bits(users: int, everybody: int) -> float:
    """How rare it is in the tenant to use a value, ``-log2`` of the share of users."""
    return log2((everybody.bit_count() + 1.0) / (users.bit_count() + 1.0))


def peer_bits(users: int, everybody: int, peers: int) -> float:
    """How rare it is among peers, ``-log2`` of their smoothed share; 0 where there are none."""
    if not peers:
        return 0.0
    share = (users.bit_count() + 1.0) / (everybody.bit_count() + 1.0)
    hits = (users & peers).bit_count() + PRIOR_USERS * share
    return max(0.0, log2((peers.bit_count() + PRIOR_USERS) / hits))
