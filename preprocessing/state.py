"""What an embedded history holds.

Plain classes with few attributes and no cycles: compiled (preprocessing/compiling.py), each is a C
struct whose numbers need no objects, and the garbage collector has nothing to walk.
"""

from __future__ import annotations

from math import log2
from typing import Final, final

from mypy_extensions import mypyc_attr

from preprocessing.accumulated import Level, Sums
from preprocessing.baseline import (
    Anchor,
    Decaying,
    Firsts,
    Places,
    Rhythm,
    Scale,
)
from preprocessing.crowd import Crowd
from preprocessing.habits import Habits
from preprocessing.history import CATEGORIES
from preprocessing.whereabouts import Place, Unproven

#: Failures over which the share of unknown users is taken, half to all of them.
MOST_FAILING: Final = 1000.0


@final
@mypyc_attr(acyclic=True)
class Baseline:
    """What was learned of a user or of the tenant. ``first_s`` in seconds since the epoch."""

    __slots__ = (
        "anchor",
        "bytes_level",
        "events",
        "failures",
        "first_s",
        "habits",
        "new_level",
        "other_bytes",
        "peers",
        "places",
        "rate",
        "rhythm",
        "told_s",
        "transfer",
    )

    def __init__(self, first_s: float = 0.0) -> None:
        self.first_s = first_s
        #: When the crowd was last told of all the habits.
        self.told_s = 0.0
        #: Bitmap of the peers as of then (preprocessing/crowd.py), empty without any.
        self.peers = b""
        self.events = 0.0
        self.failures = 0.0
        self.rhythm = Rhythm()
        self.rate = Scale()
        self.transfer = Scale()
        self.other_bytes = Scale()
        self.anchor = Anchor()
        #: What sums of new resources, and of bytes, usually are.
        self.new_level = Level()
        self.bytes_level = Level()
        self.places = Places()
        self.habits = Habits()


@final
@mypyc_attr(acyclic=True)
class UserFailures:
    """Failures of one user, and denied second factors: of the last minutes, hour and day."""

    __slots__ = ("day", "denials", "hour", "hour_denials", "recent")

    def __init__(self) -> None:
        self.recent = Decaying()
        self.hour = Decaying()
        self.day = Decaying()
        self.denials = Decaying()
        self.hour_denials = Decaying()


@final
@mypyc_attr(acyclic=True)
class User:
    """One user: activity, recorded at once, and a baseline once something was learned.

    ``factor_s`` is when a second factor was last given up or enrolled without one.
    ``trail`` holds the steps of the last events (preprocessing/trail.py). ``since`` is how many
    were learned before the user was last away for long: learning mode counts from there.
    ``active_s`` is the newest success, ``woken_s`` when the user was last back after more than a
    week, ``silence_s`` of how long. ``unproven`` maps a name to each device that nobody has vouched
    for, ``opened`` a resource to when it was first used lately and how far it is from the others.
    """

    __slots__ = (
        "active_s",
        "baseline",
        "events",
        "factor_s",
        "failures",
        "newest_s",
        "opened",
        "place",
        "silence_s",
        "since",
        "sums",
        "trail",
        "unproven",
        "woken_s",
    )

    def __init__(self, newest_s: float = 0.0) -> None:
        self.newest_s = newest_s
        self.place: Place | None = None
        self.events = Decaying()
        self.failures: UserFailures | None = None
        self.baseline: Baseline | None = None
        self.sums: Sums | None = None
        self.factor_s = 0.0
        self.trail = b""
        self.since = 0.0
        self.active_s = 0.0
        self.woken_s = 0.0
        self.silence_s = 0.0
        self.unproven: dict[str, Unproven] = {}
        self.opened: dict[str, tuple[float, float]] = {}


@final
@mypyc_attr(acyclic=True)
class AddressFailures:
    """Failures from one address, and the users who failed: how many, and when each one last."""

    __slots__ = ("day", "hour", "last_s", "recent", "users")

    def __init__(self) -> None:
        self.recent = Decaying()
        self.hour = Decaying()
        self.day = Decaying()
        self.users = Decaying()
        self.last_s: dict[str, float] = {}


@final
@mypyc_attr(acyclic=True)
class Address:
    """One source address: who fails from it now, who regularly works from it (names, few), who
    was here lately for the first time, on a device of their own (when, by name, few), and how many
    users work from it in all."""

    __slots__ = ("failures", "people", "regulars", "visitors")

    def __init__(self) -> None:
        self.failures: AddressFailures | None = None
        self.regulars: list[str] = []
        self.visitors: dict[str, float] = {}
        self.people = 0

    def quiet(self) -> Address:
        """The same without anybody's failures."""
        quiet = Address()
        quiet.regulars, quiet.visitors, quiet.people = self.regulars, self.visitors, self.people
        return quiet


@final
@mypyc_attr(acyclic=True)
class Device:
    """One device: who regularly uses it, the first first (names, few)."""

    __slots__ = ("regulars",)

    def __init__(self, regulars: list[str]) -> None:
        self.regulars = regulars


@final
@mypyc_attr(acyclic=True)
class Session:
    """What a session began with."""

    __slots__ = ("agent", "device", "network", "user_id")

    def __init__(
        self, user_id: str, network: str | None, agent: str | None, device: str | None
    ) -> None:
        self.user_id = user_id
        self.network = network
        self.agent = agent
        self.device = device


@final
@mypyc_attr(acyclic=True)
class Failing:
    """Of the last few hundred failures that were learned, how many were of unknown users."""

    __slots__ = ("events", "unknown")

    def __init__(self) -> None:
        self.events = 0.0
        self.unknown = 0.0

    def learn(self, *, known: bool) -> None:
        self.events += 1.0
        self.unknown += not known
        if self.events > MOST_FAILING:
            self.events /= 2
            self.unknown /= 2

    def bits(self) -> float:
        """Surprise of an unknown user who fails."""
        return log2((self.events + 2.0) / (self.unknown + 1.0))


@final
@mypyc_attr(acyclic=True)
class Tenant:
    """The organisation: its own baseline, and how often anything is new to a user in it.

    ``crowd`` knows who uses what, of learned events; ``lately`` who has just begun to, of events
    as they are observed that are otherwise in keeping with their user.
    """

    __slots__ = (
        "baseline",
        "crowd",
        "failing",
        "firsts",
        "lately",
        "spray",
        "spray_level",
        "users",
    )

    def __init__(self) -> None:
        self.baseline = Baseline()
        self.crowd = Crowd()
        self.lately = Crowd()
        self.failing = Failing()
        #: Failures in networks strange to their users, and log2(1 + users) that is usual there.
        self.spray = AddressFailures()
        self.spray_level = Scale()
        self.firsts = [Firsts() for _ in CATEGORIES]
        self.users = 0.0
