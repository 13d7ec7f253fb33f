"""What an embedded history holds, and how it becomes bytes and back.

Everything is a msgspec struct without cycles: a snapshot is one encode, holds no code, and the
garbage collector has nothing to walk.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import log2
from typing import Generic, TypeVar

import msgspec

from preprocessing.accumulated import NO_SUMS, Four, Level, Sums, Unproven
from preprocessing.baseline import (
    Anchor,
    Categories,
    Decaying,
    Firsts,
    Place,
    Places,
    Rhythm,
    Scale,
    clock,
)
from preprocessing.crowd import Crowd
from preprocessing.event import AuthEvent
from preprocessing.feedback import Ledger, Remembered
from preprocessing.history import CATEGORIES, HistoryError, HistorySettings
from preprocessing.seen import SeenIds
from preprocessing.values import Values, values_of

SNAPSHOT_FORMAT = 10

#: Failures over which the share of unknown users is taken, half to all of them.
MOST_FAILING = 1000.0

T = TypeVar("T")


class Baseline(msgspec.Struct, array_like=True, gc=False):
    """What was learned of a user or of the tenant. ``first_s`` in seconds since the epoch."""

    first_s: float = 0.0
    #: When the crowd was last told of all the habits.
    told_s: float = 0.0
    #: Bitmap of the peers as of then (preprocessing/crowd.py), empty without any.
    peers: bytes = b""
    events: float = 0.0
    failures: float = 0.0
    rhythm: Rhythm = msgspec.field(default_factory=Rhythm)
    rate: Scale = msgspec.field(default_factory=Scale)
    transfer: Scale = msgspec.field(default_factory=Scale)
    other_bytes: Scale = msgspec.field(default_factory=Scale)
    anchor: Anchor = msgspec.field(default_factory=Anchor)
    #: What sums of new resources, and of bytes, usually are.
    new_level: Level = msgspec.field(default_factory=Level)
    bytes_level: Level = msgspec.field(default_factory=Level)
    places: Places = msgspec.field(default_factory=Places)
    fields: list[Categories] = msgspec.field(
        default_factory=lambda: [Categories() for _ in CATEGORIES]
    )


class UserFailures(msgspec.Struct, array_like=True, gc=False):
    """Failures of one user, and denied second factors: of the last minutes, hour and day."""

    recent: Decaying = msgspec.field(default_factory=Decaying)
    hour: Decaying = msgspec.field(default_factory=Decaying)
    day: Decaying = msgspec.field(default_factory=Decaying)
    denials: Decaying = msgspec.field(default_factory=Decaying)
    hour_denials: Decaying = msgspec.field(default_factory=Decaying)


class User(msgspec.Struct, array_like=True, gc=False):
    """One user: activity, recorded at once, and a baseline once something was learned.

    ``factor_s`` is when a second factor was last given up or enrolled without one.
    ``trail`` holds the steps of the last events (preprocessing/trail.py). ``since`` is how many
    were learned before the user was last away for long: learning mode counts from there.
    ``active_s`` is the newest success, ``woken_s`` when the user was last back after more than a
    week, ``silence_s`` of how long. ``unproven`` maps a name to each device that nobody has vouched
    for, ``opened`` a resource to when it was first used lately and how far it is from the others.
    """

    newest_s: float = 0.0
    place: Place | None = None
    events: Decaying = msgspec.field(default_factory=Decaying)
    failures: UserFailures | None = None
    baseline: Baseline | None = None
    sums: Sums | None = None
    factor_s: float = 0.0
    trail: bytes = b""
    since: float = 0.0
    active_s: float = 0.0
    woken_s: float = 0.0
    silence_s: float = 0.0
    unproven: dict[str, Unproven] = {}
    opened: dict[str, tuple[float, float]] = {}


class AddressFailures(msgspec.Struct, array_like=True, gc=False):
    """Failures from one address, and the users who failed: how many, and when each one last."""

    recent: Decaying = msgspec.field(default_factory=Decaying)
    hour: Decaying = msgspec.field(default_factory=Decaying)
    day: Decaying = msgspec.field(default_factory=Decaying)
    users: Decaying = msgspec.field(default_factory=Decaying)
    last_s: dict[str, float] = {}


class Address(msgspec.Struct, array_like=True, gc=False):
    """One source address: who fails from it now, who regularly works from it (names, few), who
    was here lately for the first time, on a device of their own (when, by name, few), and how many
    users work from it in all."""

    failures: AddressFailures | None = None
    regulars: list[str] = []
    visitors: dict[str, float] = {}
    people: int = 0


class Device(msgspec.Struct, array_like=True, gc=False):
    """One device: who regularly uses it, the first first (names, few)."""

    regulars: list[str] = []


class Session(msgspec.Struct, array_like=True, gc=False):
    """What a session began with."""

    user_id: str
    network: str | None
    agent: str | None
    device: str | None


class Failing(msgspec.Struct, array_like=True, gc=False):
    """Of the last few hundred failures that were learned, how many were of unknown users."""

    events: float = 0.0
    unknown: float = 0.0

    def learn(self, *, known: bool) -> None:
        self.events += 1.0
        self.unknown += not known
        if self.events > MOST_FAILING:
            self.events /= 2
            self.unknown /= 2

    def bits(self) -> float:
        """Surprise of an unknown user who fails."""
        return log2((self.events + 2.0) / (self.unknown + 1.0))


class Tenant(msgspec.Struct, array_like=True, gc=False):
    """The organisation: its own baseline, and how often anything is new to a user in it.

    ``crowd`` knows who uses what, of learned events; ``lately`` who has just begun to, of events
    as they are observed that are otherwise in keeping with their user.
    """

    baseline: Baseline = msgspec.field(default_factory=Baseline)
    crowd: Crowd = msgspec.field(default_factory=Crowd)
    lately: Crowd = msgspec.field(default_factory=Crowd)
    failing: Failing = msgspec.field(default_factory=Failing)
    #: Failures in networks strange to their users, and log2(1 + users) that is usual there.
    spray: AddressFailures = msgspec.field(default_factory=AddressFailures)
    spray_level: Scale = msgspec.field(default_factory=Scale)
    firsts: list[Firsts] = msgspec.field(default_factory=lambda: [Firsts() for _ in CATEGORIES])
    users: float = 0.0


class Sighting(msgspec.Struct, gc=False):
    """One event on its way through the history: what is worked out once and used everywhere.

    ``at_s`` seconds since the epoch, ``hour`` in [0, 24) and ``day`` in UTC, ``rate`` the log2 of
    the user's events of the last hour as of then, ``fresh`` the fields whose value is no habit.
    ``owner`` is the baseline of the person on whose device a service account is used,
    ``new`` and ``size`` are what it adds to its user's sums, ``sums`` what these came to,
    ``spray`` log2(1 + users) who failed in strange networks as this one does, -1 if it does not.
    ``unproven`` is the name and the sums of the device that nobody has vouched for, this event
    included; ``opened`` how far a resource used for the first time is from those opened lately, -1
    at others.
    """

    event: AuthEvent
    at_s: float
    hour: float
    day: int
    values: Values
    session: Session | None = None
    owner: Baseline | None = None
    rate: float = 0.0
    fresh: list[int] = []
    new: float = 0.0
    size: float = 0.0
    sums: Four = NO_SUMS
    spray: float = -1.0
    unproven: tuple[str, Unproven] | None = None
    opened: float = -1.0


def sighting(event: AuthEvent) -> Sighting:
    at_s = event.timestamp.timestamp()
    hour, day = clock(at_s)
    return Sighting(event, at_s, hour, day, values_of(event))


def remembered(seen: Sighting) -> Remembered:
    """A sighting as it is written down."""
    return Remembered(seen.event, seen.rate, seen.new, seen.size, seen.sums, seen.spray)


def sighting_of(item: Remembered) -> Sighting:
    """The sighting that was written down."""
    seen = sighting(item.event)
    seen.rate, seen.sums = item.rate, item.sums
    seen.new, seen.size, seen.spray = item.new, item.size, item.spray
    return seen


class Known(Generic[T]):
    """Names and what is known of each, in two tiers that forget the longest unused name.

    Strangers are those of whom nothing was learned. Invented names can only displace strangers.
    """

    def __init__(self, most_learned: int, most_strangers: int) -> None:
        self.learned: OrderedDict[str, T] = OrderedDict()
        self.strangers: OrderedDict[str, T] = OrderedDict()
        self._most_learned = most_learned
        self._most_strangers = most_strangers

    def __len__(self) -> int:
        return len(self.learned) + len(self.strangers)

    def get(self, name: str) -> T | None:
        return self.learned.get(name) or self.strangers.get(name)

    def use(self, name: str, entry: T) -> None:
        """Make ``name`` the most recently used; one unknown so far becomes a stranger."""
        if name in self.learned:
            self.learned.move_to_end(name)
            return
        self.strangers[name] = entry
        self.strangers.move_to_end(name)
        while len(self.strangers) > self._most_strangers:
            self.strangers.popitem(last=False)

    def promote(self, name: str, entry: T) -> None:
        """Something was learned of ``name``: no stranger any more."""
        self.strangers.pop(name, None)
        self.learned[name] = entry
        while len(self.learned) > self._most_learned:
            self.learned.popitem(last=False)

    def demote(self, name: str, entry: T) -> None:
        """Nothing that was learned of ``name`` is left."""
        self.learned.pop(name, None)
        self.use(name, entry)

    def fill(self, learned: dict[str, T], strangers: dict[str, T]) -> None:
        """Take over both tiers of a snapshot, as far as they fit."""
        for name, entry in strangers.items():
            self.use(name, entry)
        for name, entry in learned.items():
            self.promote(name, entry)


@dataclass(slots=True)
class State:
    """All of a history. ``pending`` maps the id of each unlearned event to it, oldest first,
    ``learned`` that of each lately learned one; ``ledger`` is what analysts said."""

    users: Known[User]
    addresses: Known[Address]
    devices: Known[Device]
    seen: SeenIds
    sessions: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    tenant: Tenant = field(default_factory=Tenant)
    pending: OrderedDict[str, Sighting] = field(default_factory=OrderedDict)
    learned: OrderedDict[str, Sighting] = field(default_factory=OrderedDict)
    ledger: Ledger = field(default_factory=Ledger)


class _Snapshot(msgspec.Struct, array_like=True):
    format: int
    users: dict[str, User]
    strange_users: dict[str, User]
    addresses: dict[str, Address]
    strange_addresses: dict[str, Address]
    devices: dict[str, Device]
    sessions: dict[str, Session]
    tenant: Tenant
    seen: dict[str, int]
    pending: list[Remembered]
    learned: list[Remembered]
    ledger: Ledger


class _Header(msgspec.Struct, array_like=True):
    format: int


_HEADER = msgspec.msgpack.Decoder(_Header)
_SNAPSHOT = msgspec.msgpack.Decoder(_Snapshot)


def empty(settings: HistorySettings) -> State:
    """The state of a history that has seen nothing."""
    return State(
        users=Known(settings.most_users, settings.most_strangers),
        addresses=Known(settings.most_addresses, settings.most_strangers),
        devices=Known(settings.most_devices, 0),
        seen=SeenIds(settings.most_seen, settings.seen_s),
    )


def encode(state: State, *, seen: bool) -> bytes:
    """The state as bytes; ``seen=False`` leaves out ids, sessions, events and feedback."""
    return msgspec.msgpack.encode(
        _Snapshot(
            SNAPSHOT_FORMAT,
            state.users.learned,
            state.users.strangers,
            state.addresses.learned,
            state.addresses.strangers,
            state.devices.learned,
            state.sessions if seen else {},
            state.tenant,
            state.seen.stamps if seen else {},
            [remembered(one) for one in state.pending.values()] if seen else [],
            [remembered(one) for one in state.learned.values()] if seen else [],
            state.ledger if seen else Ledger(),
        )
    )


def decode(data: bytes, settings: HistorySettings) -> State:
    """The state that :func:`encode` wrote; raises :class:`HistoryError`."""
    try:
        found = _HEADER.decode(data).format
        if found != SNAPSHOT_FORMAT:
            message = f"history snapshot format {found}, expected {SNAPSHOT_FORMAT}"
            raise HistoryError(f"{message}; use the ztad version that wrote it")
        snapshot = _SNAPSHOT.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HistoryError(f"not a history snapshot ({error}); train the bundle again") from None
    state = empty(settings)
    state.users.fill(snapshot.users, snapshot.strange_users)
    state.addresses.fill(snapshot.addresses, snapshot.strange_addresses)
    state.tenant = snapshot.tenant
    state.seen.fill(snapshot.seen)
    state.devices.fill(snapshot.devices, {})
    for name in list(snapshot.sessions)[-settings.most_sessions :]:
        state.sessions[name] = snapshot.sessions[name]
    for pending in snapshot.pending[-settings.most_pending :]:
        state.pending[pending.event.event_id] = sighting_of(pending)
    for learned in snapshot.learned[-settings.most_learned :]:
        state.learned[learned.event.event_id] = sighting_of(learned)
    state.ledger = snapshot.ledger
    return state
