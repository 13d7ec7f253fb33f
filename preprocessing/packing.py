"""The parts of a history as rows (preprocessing/rows.py), and made of rows again, equal to the
last bit.

Users are packed and unpacked while events are scored: their numbers are one run of doubles, which
takes a third of the time of a value at a time.
"""

from __future__ import annotations

from struct import pack, unpack
from typing import Any, Final

from librt.vecs import vec

from preprocessing.accumulated import Level, Sums
from preprocessing.baseline import DAYS, HOURS, Anchor, Decaying, Firsts, Places, Scale
from preprocessing.crowd import Crowd
from preprocessing.history import CATEGORIES
from preprocessing.state import (
    Address,
    AddressFailures,
    Baseline,
    Device,
    Session,
    Tenant,
    User,
    UserFailures,
)

Row = tuple[Any, ...]

#: Where numbers of a user begin: first what everybody has and whether there are sums, then those
#: if there are, then failures if there are any.
_SUMS: Final = 9
#: Where numbers of a baseline begin.
_HOURS: Final = 5
_DAYS: Final = _HOURS + HOURS
_SCALES: Final = _DAYS + DAYS
_FIELDS: Final = _SCALES + 18


def user_row(user: User) -> Row:
    base = user.baseline
    return (
        _doubles(_user_numbers(user)),
        user.place,
        _baseline(base) if base is not None else None,
        user.trail,
        user.unproven,
        user.opened,
    )


def _user_numbers(user: User) -> list[float]:
    events, sums, failures = user.events, user.sums, user.failures
    numbers = [
        user.newest_s, events.value, events.at_s, user.factor_s, user.since, user.active_s,
        user.woken_s, user.silence_s, 0.0 if sums is None else 1.0,
    ]  # fmt: skip
    if sums is not None:
        numbers += [sums.at_s, *sums.values]
    if failures is not None:
        for one in (
            failures.recent, failures.hour, failures.day, failures.denials, failures.hour_denials
        ):  # fmt: skip
            numbers += [one.value, one.at_s]
    return numbers


def user_of(row: Row) -> User:
    numbers = _numbers(row[0])
    user = User(numbers[0])
    user.events = Decaying(numbers[1], numbers[2])
    user.factor_s, user.since, user.active_s = numbers[3], numbers[4], numbers[5]
    user.woken_s, user.silence_s = numbers[6], numbers[7]
    rest = _SUMS
    if numbers[8]:
        at_s, new_day, new_week, bytes_day, bytes_week = numbers[_SUMS : _SUMS + 5]
        user.sums = Sums(at_s, (new_day, new_week, bytes_day, bytes_week))
        rest += 5
    if len(numbers) > rest:
        user.failures = _user_failures(numbers, rest)
    user.place = row[1]
    if row[2] is not None:
        user.baseline = _baseline_of(row[2])
    user.trail, user.unproven, user.opened = row[3], row[4], row[5]
    return user


def _user_failures(numbers: tuple[float, ...], at: int) -> UserFailures:
    failures = UserFailures()
    failures.recent = Decaying(numbers[at], numbers[at + 1])
    failures.hour = Decaying(numbers[at + 2], numbers[at + 3])
    failures.day = Decaying(numbers[at + 4], numbers[at + 5])
    failures.denials = Decaying(numbers[at + 6], numbers[at + 7])
    failures.hour_denials = Decaying(numbers[at + 8], numbers[at + 9])
    return failures


def _baseline(base: Baseline) -> Row:
    rhythm, anchor, new, size = base.rhythm, base.anchor, base.new_level, base.bytes_level
    numbers = [base.first_s, base.told_s, base.events, base.failures, rhythm.weight]
    numbers += rhythm.hours
    numbers += rhythm.days
    for scale in (base.rate, base.transfer, base.other_bytes):
        numbers += [scale.weight, scale.mean, scale.squares]
    numbers += [anchor.mean, anchor.spread, anchor.at_s]
    numbers += [new.weight, new.day, new.week, size.weight, size.day, size.week]
    habits, fields = base.habits, range(len(CATEGORIES))
    for field in fields:
        numbers += [habits.weight(field), habits.firsts(field)]
    counts = [dict(habits.items(field)) for field in fields]
    return _doubles(numbers), counts, base.places.known, base.peers


def _baseline_of(row: Row) -> Baseline:
    numbers = _numbers(row[0])
    base = Baseline(numbers[0])
    base.told_s, base.events, base.failures = numbers[1], numbers[2], numbers[3]
    rhythm, at = base.rhythm, _SCALES
    rhythm.weight = numbers[4]
    rhythm.hours = vec[float](numbers[_HOURS:_DAYS])
    rhythm.days = vec[float](numbers[_DAYS:_SCALES])
    base.rate = Scale(numbers[at], numbers[at + 1], numbers[at + 2])
    base.transfer = Scale(numbers[at + 3], numbers[at + 4], numbers[at + 5])
    base.other_bytes = Scale(numbers[at + 6], numbers[at + 7], numbers[at + 8])
    base.anchor = Anchor(numbers[at + 9], numbers[at + 10], numbers[at + 11])
    base.new_level = Level(numbers[at + 12], numbers[at + 13], numbers[at + 14])
    base.bytes_level = Level(numbers[at + 15], numbers[at + 16], numbers[at + 17])
    at = _FIELDS
    end = at + 2 * len(CATEGORIES)
    base.habits.fill(row[1], numbers[at:end:2], numbers[at + 1 : end : 2])
    base.places = Places(row[2])
    base.peers = row[3]
    return base


def _doubles(numbers: list[float]) -> bytes:
    return pack(f"<{len(numbers)}d", *numbers)


def _numbers(doubles: bytes) -> tuple[float, ...]:
    return unpack(f"<{len(doubles) // 8}d", doubles)


def address_row(address: Address) -> Row:
    failures = address.failures
    return (
        _address_failures(failures) if failures is not None else None,
        address.regulars,
        address.visitors,
        address.people,
    )


def address_of(row: Row) -> Address:
    address = Address()
    address.failures = _address_failures_of(row[0]) if row[0] is not None else None
    address.regulars, address.visitors, address.people = row[1], row[2], row[3]
    return address


def device_row(device: Device) -> Row:
    return (device.regulars,)


def device_of(row: Row) -> Device:
    return Device(row[0])


def session_row(session: Session) -> Row:
    return session.user_id, session.network, session.agent, session.device


def session_of(row: Row) -> Session:
    return Session(row[0], row[1], row[2], row[3])


def tenant_row(tenant: Tenant) -> Row:
    return (
        _baseline(tenant.baseline),
        _crowd(tenant.crowd),
        _crowd(tenant.lately),
        (tenant.failing.events, tenant.failing.unknown),
        _address_failures(tenant.spray),
        _scale(tenant.spray_level),
        [(firsts.events, firsts.firsts) for firsts in tenant.firsts],
        tenant.users,
    )


def tenant_of(row: Row) -> Tenant:
    tenant = Tenant()
    tenant.baseline = _baseline_of(row[0])
    tenant.crowd, tenant.lately = _crowd_of(row[1]), _crowd_of(row[2])
    tenant.failing.events, tenant.failing.unknown = row[3]
    tenant.spray, tenant.spray_level = _address_failures_of(row[4]), _scale_of(row[5])
    tenant.firsts = [Firsts(events, firsts) for events, firsts in row[6]]
    tenant.users = row[7]
    return tenant


def _decaying(count: Decaying) -> Row:
    return count.value, count.at_s


def _decaying_of(row: Row) -> Decaying:
    return Decaying(row[0], row[1])


def _scale(scale: Scale) -> Row:
    return scale.weight, scale.mean, scale.squares


def _scale_of(row: Row) -> Scale:
    return Scale(row[0], row[1], row[2])


def _address_failures(failures: AddressFailures) -> Row:
    return (
        _decaying(failures.recent),
        _decaying(failures.hour),
        _decaying(failures.day),
        _decaying(failures.users),
        failures.last_s,
    )


def _address_failures_of(row: Row) -> AddressFailures:
    failures = AddressFailures()
    failures.recent, failures.hour = _decaying_of(row[0]), _decaying_of(row[1])
    failures.day, failures.users = _decaying_of(row[2]), _decaying_of(row[3])
    failures.last_s = row[4]
    return failures


def _crowd(crowd: Crowd) -> Row:
    return crowd.since_s, crowd.now, crowd.before


def _crowd_of(row: Row) -> Crowd:
    crowd = Crowd()
    crowd.since_s = row[0]
    crowd.now, crowd.before = _generation_of(row[1]), _generation_of(row[2])
    return crowd


def _generation_of(row: list[dict[str, bytes]]) -> list[dict[str, bytearray]]:
    return [{name: bytearray(users) for name, users in field.items()} for field in row]
