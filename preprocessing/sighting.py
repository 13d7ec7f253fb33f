"""Events on their way through a history, and those that were learned lately."""

from __future__ import annotations

from collections import OrderedDict
from math import log2
from typing import Any, final

import msgspec
from mypy_extensions import mypyc_attr

from preprocessing.accumulated import NO_SUMS, Four
from preprocessing.baseline import clock
from preprocessing.event import AuthEvent, pack_event, unpack_event
from preprocessing.feedback import Remembered
from preprocessing.habits import keys_of
from preprocessing.state import Baseline, Session
from preprocessing.values import values_of
from preprocessing.whereabouts import Unproven


@final
@mypyc_attr(acyclic=True)
class Sighting:
    """One event on its way through the history: what is worked out once and used everywhere.

    ``user_id``, ``failed``, ``token`` and ``transfer`` are of the event, whose own attributes cost
    a look-up each; ``size_bits`` is log2(1 + bytes), -1 where it tells of none,
    ``keys`` by which the values are found (preprocessing/habits.py).
    ``at_s`` seconds since the epoch, ``hour`` in [0, 24) and ``day`` in UTC, ``rate`` the log2 of
    the user's events of the last hour as of then, ``fresh`` the fields whose value is no habit.
    ``owner`` is the baseline of the person on whose device a service account is used,
    ``new`` and ``size`` are what it adds to its user's sums, ``sums`` what these came to,
    ``spray`` log2(1 + users) who failed in strange networks as this one does, -1 if it does not.
    ``packed`` is the event as bytes once it was observed, ``unproven`` the name and the sums of the
    device that nobody has vouched for, this event included; ``opened`` how far a resource used for
    the first time is from those opened lately, -1 at others.
    """

    __slots__ = (
        "at_s",
        "day",
        "event",
        "failed",
        "fresh",
        "hour",
        "keys",
        "new",
        "opened",
        "owner",
        "packed",
        "rate",
        "session",
        "size",
        "size_bits",
        "spray",
        "sums",
        "token",
        "transfer",
        "unproven",
        "user_id",
        "values",
    )

    def __init__(self, event: AuthEvent, at_s: float) -> None:
        self.event = event
        self.packed = b""
        self.user_id: str = event.user_id
        self.failed = event.outcome == "failure"
        self.token = event.auth_kind == "token"
        self.transfer = event.action == "transfer"
        amount = event.bytes_transferred
        self.size_bits = -1.0 if amount is None else log2(1.0 + amount)
        self.at_s = at_s
        self.hour, self.day = clock(at_s)
        self.values = values_of(event)
        self.keys = keys_of(self.values)
        self.session: Session | None = None
        self.owner: Baseline | None = None
        self.rate = 0.0
        self.fresh: list[int] = []
        self.new = 0.0
        self.size = 0.0
        self.sums = NO_SUMS
        self.spray = -1.0
        self.unproven: tuple[str, Unproven] | None = None
        self.opened = -1.0


def sighting(event: AuthEvent) -> Sighting:
    return Sighting(event, event.timestamp.timestamp())


def remembered(seen: Sighting) -> Remembered:
    """A sighting as it is written down."""
    return Remembered(seen.event, seen.rate, seen.new, seen.size, seen.sums, seen.spray)


def remembered_row(seen: Sighting) -> tuple[Any, ...]:
    """The same as a row, its event packed."""
    packed = msgspec.Raw(seen.packed or pack_event(seen.event))
    return packed, seen.rate, seen.new, seen.size, seen.sums, seen.spray


def sighting_of(item: Remembered) -> Sighting:
    """The sighting that was written down."""
    return _sighting(item.event, item.rate, item.new, item.size, item.sums, item.spray)


def _sighting(
    event: AuthEvent, rate: float, new: float, size: float, sums: Four, spray: float
) -> Sighting:
    seen = sighting(event)
    seen.rate, seen.sums = rate, sums
    seen.new, seen.size, seen.spray = new, size, spray
    return seen


@final
@mypyc_attr(acyclic=True)
class _Learned:
    """A sighting that was learned: what is needed to take it out again, its event as bytes."""

    __slots__ = ("new", "packed", "rate", "size", "spray", "sums", "user_id")

    def __init__(self, seen: Sighting) -> None:
        self.user_id = seen.user_id
        self.packed = seen.packed or pack_event(seen.event)
        self.rate = seen.rate
        self.new = seen.new
        self.size = seen.size
        self.sums = seen.sums
        self.spray = seen.spray

    def row(self) -> tuple[Any, ...]:
        packed = msgspec.Raw(self.packed)
        return packed, self.rate, self.new, self.size, self.sums, self.spray

    def sighting(self) -> Sighting:
        event = unpack_event(self.packed)
        return _sighting(event, self.rate, self.new, self.size, self.sums, self.spray)


@final
class Past:
    """The last ``most`` learned events by id, oldest first, which feedback may take out again.

    As bytes each is two objects instead of thirty: an event that comes finds the memory of the one
    before it, which the processor still has at hand, instead of that of one long ago.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._learned: OrderedDict[str, _Learned] = OrderedDict()

    def __len__(self) -> int:
        return len(self._learned)

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._learned

    def keep(self, seen: Sighting) -> None:
        """Remember what was just learned, and forget the oldest beyond bounds."""
        self._learned[seen.event.event_id] = _Learned(seen)
        if len(self._learned) > self._most:
            self._learned.popitem(last=False)

    def get(self, event_id: str) -> Sighting | None:
        found = self._learned.get(event_id)
        return found.sighting() if found is not None else None

    def drop(self, event_id: str) -> None:
        del self._learned[event_id]

    def of(self, user_id: str) -> list[Sighting]:
        """Those of one user."""
        return [one.sighting() for one in self._learned.values() if one.user_id == user_id]

    def rows(self) -> list[tuple[Any, ...]]:
        """All as rows of :class:`preprocessing.feedback.Remembered`, their events packed."""
        return [one.row() for one in self._learned.values()]
