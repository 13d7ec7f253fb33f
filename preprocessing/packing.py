"""The parts of a history as rows of plain values, in the order in which a snapshot holds them."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from preprocessing.accumulated import Level, Sums
from preprocessing.baseline import Anchor, Categories, Decaying, Firsts, Places, Rhythm, Scale
from preprocessing.crowd import Crowd
from preprocessing.state import (
    Address,
    AddressFailures,
    Baseline,
    Device,
    Failing,
    Session,
    Tenant,
    User,
    UserFailures,
)
from preprocessing.whereabouts import Place, Unproven

T = TypeVar("T")
Row = list[Any]

#: Attributes by class. A snapshot of another order has another SNAPSHOT_FORMAT.
ORDER: dict[type, tuple[str, ...]] = {
    Decaying: ("value", "at_s"),
    Categories: ("counts", "weight", "firsts"),
    Firsts: ("events", "firsts"),
    Scale: ("weight", "mean", "squares"),
    Anchor: ("mean", "spread", "at_s"),
    Rhythm: ("weight", "hours", "days"),
    Places: ("known",),
    Sums: ("at_s", "values"),
    Level: ("weight", "day", "week"),
    Crowd: ("since_s", "now", "before"),
    Baseline: (
        "first_s", "told_s", "peers", "events", "failures", "rhythm", "rate", "transfer",
        "other_bytes", "anchor", "new_level", "bytes_level", "places", "fields",
    ),
    UserFailures: ("recent", "hour", "day", "denials", "hour_denials"),
    User: (
        "newest_s", "place", "events", "failures", "baseline", "sums", "factor_s", "trail",
        "since", "active_s", "woken_s", "silence_s", "unproven", "opened",
    ),
    AddressFailures: ("recent", "hour", "day", "users", "last_s"),
    Address: ("failures", "regulars", "visitors", "people"),
    Device: ("regulars",),
    Session: ("user_id", "network", "agent", "device"),
    Failing: ("events", "unknown"),
    Tenant: (
        "baseline", "crowd", "lately", "failing", "spray", "spray_level", "firsts", "users",
    ),
}  # fmt: skip

_ROW_OF: dict[type, Callable[[Any], Any]] = {kind: attrgetter(*n) for kind, n in ORDER.items()}


def pack(thing: object) -> Any:
    """One part as a row, its own parts still as they are: for msgspec's ``enc_hook``."""
    row = _ROW_OF[type(thing)](thing)
    return row if len(ORDER[type(thing)]) > 1 else (row,)


def unpack(kind: type, row: Any) -> Any:
    """A part of its row, for msgspec's ``dec_hook``; raises ``ValueError`` or ``TypeError``."""
    if not isinstance(row, list) or len(row) != len(ORDER[kind]):
        raise ValueError(f"no {kind.__name__}")
    try:
        return _UNPACK[kind](row)
    except (AttributeError, LookupError):
        raise ValueError(f"a damaged {kind.__name__}") from None


def _decaying(row: Row) -> Decaying:
    value, at_s = row
    return Decaying(value, at_s)


def _categories(row: Row) -> Categories:
    field = Categories()
    field.counts, field.weight, field.firsts = row
    return field


def _scale(row: Row) -> Scale:
    weight, mean, squares = row
    return Scale(weight, mean, squares)


def _level(row: Row) -> Level:
    weight, day, week = row
    return Level(weight, day, week)


def _rhythm(row: Row) -> Rhythm:
    rhythm = Rhythm()
    rhythm.weight, rhythm.hours, rhythm.days = row
    return rhythm


def _sums(row: Row) -> Sums:
    at_s, values = row
    new_day, new_week, bytes_day, bytes_week = values
    return Sums(at_s, (new_day, new_week, bytes_day, bytes_week))


def _baseline(row: Row) -> Baseline:
    base = Baseline(row[0])
    base.told_s, base.peers, base.events, base.failures = row[1:5]
    base.rhythm = _rhythm(row[5])
    base.rate, base.transfer, base.other_bytes = (_scale(one) for one in row[6:9])
    mean, spread, at_s = row[9]
    base.anchor = Anchor(mean, spread, at_s)
    base.new_level, base.bytes_level = (_level(one) for one in row[10:12])
    [known] = row[12]
    base.places = Places([(lat, lon, weight) for lat, lon, weight in known])
    base.fields = [_categories(one) for one in row[13]]
    return base


def _user_failures(row: Row) -> UserFailures:
    failures = UserFailures()
    failures.recent, failures.hour, failures.day = (_decaying(one) for one in row[:3])
    failures.denials, failures.hour_denials = (_decaying(one) for one in row[3:])
    return failures


def _user(row: Row) -> User:
    user = User(row[0])
    user.place = msgspec.convert(row[1], Place) if row[1] is not None else None
    user.events = _decaying(row[2])
    user.failures = _user_failures(row[3]) if row[3] is not None else None
    user.baseline = _baseline(row[4]) if row[4] is not None else None
    user.sums = _sums(row[5]) if row[5] is not None else None
    user.factor_s, user.trail, user.since = row[6:9]
    user.active_s, user.woken_s, user.silence_s = row[9:12]
    user.unproven = msgspec.convert(row[12], dict[str, Unproven])
    user.opened = {name: (at_s, weight) for name, (at_s, weight) in row[13].items()}
    return user


def _address_failures(row: Row) -> AddressFailures:
    failures = AddressFailures()
    failures.recent, failures.hour, failures.day = (_decaying(one) for one in row[:3])
    failures.users, failures.last_s = _decaying(row[3]), row[4]
    return failures


def _address(row: Row) -> Address:
    address = Address()
    address.failures = _address_failures(row[0]) if row[0] is not None else None
    address.regulars, address.visitors, address.people = row[1:]
    return address


def _device(row: Row) -> Device:
    [regulars] = row
    return Device(regulars)


def _session(row: Row) -> Session:
    user_id, network, agent, device = row
    return Session(user_id, network, agent, device)


def _crowd(row: Row) -> Crowd:
    crowd = Crowd()
    crowd.since_s = row[0]
    crowd.now, crowd.before = (
        [{name: bytearray(users) for name, users in field.items()} for field in generation]
        for generation in row[1:]
    )
    return crowd


def _tenant(row: Row) -> Tenant:
    tenant = Tenant()
    tenant.baseline, tenant.crowd, tenant.lately = _baseline(row[0]), _crowd(row[1]), _crowd(row[2])
    tenant.failing.events, tenant.failing.unknown = row[3]
    tenant.spray, tenant.spray_level = _address_failures(row[4]), _scale(row[5])
    tenant.firsts = [Firsts(events, firsts) for events, firsts in row[6]]
    tenant.users = row[7]
    return tenant


_UNPACK: dict[type, Callable[[Row], Any]] = {
    User: _user,
    Address: _address,
    Device: _device,
    Session: _session,
    Tenant: _tenant,
}
