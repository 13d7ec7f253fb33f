"""The parts of a history as rows (preprocessing/rows.py), and made of rows again, equal to the
last bit.

Users are packed and unpacked while events are scored: their numbers are one run of doubles, which
takes a third of the time of a value at a time.
"""

from __future__ import annotations

from typing import Any, Final

from librt.strings import BytesWriter, write_f64_le
from mypy_extensions import i64

from preprocessing.accumulated import Four, Level, Sums
from preprocessing.baseline import DAYS, HOURS, Anchor, Decaying, Firsts, Places, Scale
from preprocessing.crowd import Crowd
from preprocessing.habits import Habits
from preprocessing.numbers import number, put2, put3
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
        _user_numbers(user),
        user.place,
        _baseline(base) if base is not None else None,
        user.trail,
        user.unproven,
        user.opened,
    )


def _user_numbers(user: User) -> bytes:
    events, sums, failures = user.events, user.sums, user.failures
    out = BytesWriter()
    put3(out, user.newest_s, events.value, events.at_s)
    put3(out, user.factor_s, user.since, user.active_s)
    put3(out, user.woken_s, user.silence_s, 0.0 if sums is None else 1.0)
    if sums is not None:
        new_day, new_week, bytes_day, bytes_week = sums.values
        put3(out, sums.at_s, new_day, new_week)
        put2(out, bytes_day, bytes_week)
    if failures is not None:
        put2(out, failures.recent.value, failures.recent.at_s)
        put2(out, failures.hour.value, failures.hour.at_s)
        put2(out, failures.day.value, failures.day.at_s)
        put2(out, failures.denials.value, failures.denials.at_s)
        put2(out, failures.hour_denials.value, failures.hour_denials.at_s)
    return out.getvalue()


def user_of(row: Row) -> User:
    numbers: bytes = row[0]
    user = User(number(numbers, 0))
    user.events = _fading(numbers, 1)
    user.factor_s, user.since = number(numbers, 3), number(numbers, 4)
    user.active_s, user.woken_s = number(numbers, 5), number(numbers, 6)
    user.silence_s = number(numbers, 7)
    rest = _SUMS
    if number(numbers, 8):
        user.sums = Sums(number(numbers, _SUMS), _four(numbers, _SUMS + 1))
        rest += 5
    if len(numbers) > 8 * rest:
        user.failures = _user_failures(numbers, rest)
    user.place = row[1]
    if row[2] is not None:
        user.baseline = _baseline_of(row[2])
    user.trail, user.unproven, user.opened = row[3], row[4], row[5]
    return user


def _user_failures(numbers: bytes, at: int) -> UserFailures:
    failures = UserFailures()
    failures.recent = _fading(numbers, at)
    failures.hour = _fading(numbers, at + 2)
    failures.day = _fading(numbers, at + 4)
    failures.denials = _fading(numbers, at + 6)
    failures.hour_denials = _fading(numbers, at + 8)
    return failures


def _four(numbers: bytes, at: int) -> Four:
    return (
        number(numbers, at), number(numbers, at + 1), number(numbers, at + 2),
        number(numbers, at + 3),
    )  # fmt: skip


def _fading(numbers: bytes, at: int) -> Decaying:
    return Decaying(number(numbers, at), number(numbers, at + 1))


def _baseline(base: Baseline) -> Row:
    rhythm, anchor, new, size = base.rhythm, base.anchor, base.new_level, base.bytes_level
    out = BytesWriter()
    put2(out, base.first_s, base.told_s)
    put3(out, base.events, base.failures, rhythm.weight)
    for count in rhythm.hours:
        write_f64_le(out, count)
    for count in rhythm.days:
        write_f64_le(out, count)
    put3(out, base.rate.weight, base.rate.mean, base.rate.squares)
    put3(out, base.transfer.weight, base.transfer.mean, base.transfer.squares)
    put3(out, base.other_bytes.weight, base.other_bytes.mean, base.other_bytes.squares)
    put3(out, anchor.mean, anchor.spread, anchor.at_s)
    put3(out, new.weight, new.day, new.week)
    put3(out, size.weight, size.day, size.week)
    base.habits.write(out)
    return out.getvalue(), base.habits.names, base.places.known, base.peers


def _baseline_of(row: Row) -> Baseline:
    numbers: bytes = row[0]
    base = Baseline(number(numbers, 0))
    base.told_s, base.events, base.failures = (
        number(numbers, 1), number(numbers, 2), number(numbers, 3),
    )  # fmt: skip
    rhythm, at = base.rhythm, _SCALES
    rhythm.weight = number(numbers, 4)
    for hour in range(i64(HOURS)):
        rhythm.hours[hour] = number(numbers, _HOURS + hour)
    for day in range(i64(DAYS)):
        rhythm.days[day] = number(numbers, _DAYS + day)
    base.rate = _scaled(numbers, at)
    base.transfer = _scaled(numbers, at + 3)
    base.other_bytes = _scaled(numbers, at + 6)
    at += 9
    base.anchor = Anchor(number(numbers, at), number(numbers, at + 1), number(numbers, at + 2))
    base.new_level = _level(numbers, at + 3)
    base.bytes_level = _level(numbers, at + 6)
    if row[1] and isinstance(row[1][0], dict):
        _fill_counted(base.habits, row[1], numbers)
    else:
        base.habits.fill(row[1], numbers, _FIELDS)
    base.places = Places(row[2])
    base.peers = row[3]
    return base


def _scaled(numbers: bytes, at: int) -> Scale:
    return Scale(number(numbers, at), number(numbers, at + 1), number(numbers, at + 2))


def _level(numbers: bytes, at: int) -> Level:
    return Level(number(numbers, at), number(numbers, at + 1), number(numbers, at + 2))


def _fill_counted(habits: Habits, fields: list[dict[str, float]], numbers: bytes) -> None:
    """Values as format 11 had them: counts by value for each field, and its weight and firsts."""
    out = BytesWriter()
    for index in (0, 1):
        for field in range(len(fields)):
            write_f64_le(out, number(numbers, _FIELDS + 2 * field + index))
    end = 0
    for counts in fields:
        end += len(counts)
        write_f64_le(out, float(end))
    for counts in fields:
        for count in counts.values():
            write_f64_le(out, count)
    habits.fill([name for counts in fields for name in counts], out.getvalue(), 0)


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
