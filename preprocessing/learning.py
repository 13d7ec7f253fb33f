"""How an ordinary event becomes part of what is usual."""

from __future__ import annotations

from math import exp2
from typing import Final

from preprocessing.crowd import SLOTS, slot
from preprocessing.habits import HABIT
from preprocessing.history import CATEGORIES, DAY_S, SHARED, HistorySettings
from preprocessing.memory import State
from preprocessing.sighting import Sighting
from preprocessing.state import Baseline, Device, Tenant

_SHARED: Final = len(SHARED)
_RESOURCE: Final = SHARED.index("resource")
_ADDRESS: Final = CATEGORIES.index("address")
#: Most resources of a user by which peers are found.
MOST_HABITS: Final = 16
#: What users share is remembered for one to two of these periods, seconds.
CROWD_S: Final = 30 * DAY_S
#: The tenant is told what a user uses every week; while the user is young every day, and at first
#: whenever the number of events has doubled.
YOUNG_EVENTS: Final = 200.0
WEEK_S: Final = 7 * DAY_S
_TOLD_AT: Final = frozenset({2.0, 4.0, 8.0, 16.0, 32.0})


def learn(seen: Sighting, state: State, settings: HistorySettings) -> None:
    """Add one event to its user's and the tenant's baseline; failures teach only their rate."""
    event = seen.event
    user_id, tenant, failed = seen.user_id, state.tenant, seen.failed
    tenant.baseline.events += 1.0
    tenant.baseline.failures += failed
    user = state.users.get(user_id)
    if user is None:
        return
    base = user.baseline
    if failed:
        _learn_failure(seen, base, tenant, settings)
        return
    if base is None:
        base = user.baseline = Baseline(first_s=seen.at_s)
        state.users.promote(user_id, user)
        tenant.users += 1.0
    base.events += 1.0
    _learn_amounts(seen, base, settings.user_limit)
    _learn_amounts(seen, tenant.baseline, settings.tenant_limit)
    if seen.new or seen.size:
        _learn_sums(seen, base, settings.user_limit)
        _learn_sums(seen, tenant.baseline, settings.tenant_limit)
    if seen.transfer and seen.size_bits >= 0.0:
        base.anchor.follow(base.transfer, seen.at_s)
    _learn_values(seen, base, tenant, settings)
    latitude, longitude = event.latitude, event.longitude
    if latitude is not None and longitude is not None:
        base.places.learn(latitude, longitude, settings.user_places)
    device, source_ip = event.device_id, event.source_ip
    if device is not None:
        _learn_owner(user_id, device, state, settings.egress_users)
    if source_ip is not None:
        known = base.events >= settings.learning_events  # invented names make no office
        first = base.habits.count(_ADDRESS, source_ip) == 1.0
        most = settings.egress_users if known else 1
        _learn_regular(user_id, source_ip, state, most, first=first)


def _learn_failure(
    seen: Sighting, base: Baseline | None, tenant: Tenant, settings: HistorySettings
) -> None:
    tenant.failing.learn(known=base is not None)
    if seen.spray >= 0:
        tenant.spray_level.learn(seen.spray, settings.user_limit)
    if base is not None:
        base.events += 1.0
        base.failures += 1.0


def _learn_sums(seen: Sighting, base: Baseline, limit: float) -> None:
    new_day, new_week, bytes_day, bytes_week = seen.sums
    if seen.new:
        base.new_level.learn(new_day, new_week, limit)
    if seen.size:
        base.bytes_level.learn(bytes_day, bytes_week, limit)


def _learn_amounts(seen: Sighting, base: Baseline, limit: float) -> None:
    base.rate.learn(seen.rate, limit)
    if not seen.token:
        base.rhythm.learn(seen.hour, seen.day, limit, vote(seen.rate))
    if seen.size_bits >= 0.0:
        scale = base.transfer if seen.transfer else base.other_bytes
        scale.learn(seen.size_bits, limit)


def vote(rate: float) -> float:
    """What an event counts of a habit of time, in (0, 1], by the log2 of its user's events of the
    hour: a burst of n counts log(n) times, and one night of haste makes no night worker."""
    return exp2(-rate)


def _learn_values(
    seen: Sighting, base: Baseline, tenant: Tenant, settings: HistorySettings
) -> None:
    limit, most = settings.user_limit, settings.user_values
    values, keys, habits, all_firsts = seen.values, seen.keys, base.habits, tenant.firsts
    for field in range(len(values)):  # compiled, faster than zip
        value = values[field]
        if value is None:
            continue
        known = habits.weight(field) > 0.0
        first = habits.learn(field, keys[field], value, limit, most)
        if known:  # else it is the first of all, no surprise, whoever the user
            firsts = all_firsts[field]
            firsts.events += 1.0
            firsts.firsts += first
    every_s = DAY_S if base.events < YOUNG_EVENTS else WEEK_S
    settled = base.events == settings.learning_events
    if settled or seen.at_s >= base.told_s + every_s or base.events in _TOLD_AT:
        base.told_s = seen.at_s
        _tell_crowd(seen, base, tenant, settings)


def _tell_crowd(seen: Sighting, base: Baseline, tenant: Tenant, settings: HistorySettings) -> None:
    """Have the tenant know what a user uses, once known, and the user's peers found."""
    user_id, crowd, most_values = seen.user_id, tenant.crowd, settings.tenant_values
    crowd.turn(seen.at_s, CROWD_S)
    bit = slot(user_id, tenant.users)
    if bit >= 0 and base.events >= settings.learning_events:  # invented names vouch for nothing
        crowd.join(bit)
        for field in range(_SHARED):
            for value, _ in base.habits.items(field):
                crowd.add(field, value, bit, most_values)
    habits = [name for name, count in base.habits.items(_RESOURCE) if count >= HABIT]
    peers = crowd.peers(habits[:MOST_HABITS], 1 << slot(user_id, 0))
    base.peers = peers.to_bytes(SLOTS // 8, "little") if peers else b""


def _learn_regular(user_id: str, source_ip: str, state: State, most: int, *, first: bool) -> None:
    """Note that somebody works from an address; by name until ``most`` do.

    ``first``: nothing of this user was learned from there before.
    """
    address = state.addresses.get(source_ip)
    if address is None:
        return
    address.people += first
    regulars = address.regulars
    if len(regulars) < most and user_id not in regulars:
        if not regulars:
            state.addresses.promote(source_ip, address)
        regulars.append(user_id)
        address.visitors.pop(user_id, None)


def _learn_owner(user_id: str, device_id: str, state: State, most: int) -> None:
    """Note who uses a device; the first to do so is its owner."""
    device = state.devices.learned.get(device_id)
    if device is None:
        state.devices.promote(device_id, Device([user_id]))
        return
    state.devices.learned.use(device_id)
    if user_id not in device.regulars and len(device.regulars) < most:
        device.regulars.append(user_id)
