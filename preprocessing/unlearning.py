"""How an event that was learned is taken out of the baseline again, as far as counts allow.

Counts of values, hours, weekdays and places, and means and spreads of amounts go back to what they
were, exactly as long as no count was halved since and the amount was no extreme (both lose what
came when); then they come as near as the counts that are left allow, and never below nothing. Not
taken back: the long memory of transfer sizes (which moves by a doubling in two months at most), the
tenant's share of unknown users among failures, and activity, which fades by itself.
"""

from __future__ import annotations

from math import inf, log2, sqrt

from librt.vecs import vec

from preprocessing.accumulated import Level
from preprocessing.baseline import LEAST_SPREAD, WINSOR_EVENTS, Places, Rhythm, Scale
from preprocessing.crowd import Crowd, slot
from preprocessing.geo import distance_km
from preprocessing.history import CATEGORIES, SHARED
from preprocessing.learning import vote
from preprocessing.memory import State
from preprocessing.sighting import Sighting
from preprocessing.state import Baseline, Tenant

_DEVICE, _ADDRESS = CATEGORIES.index("device"), CATEGORIES.index("address")


def unlearn(seen: Sighting, state: State) -> None:
    """Take one event out of its user's and the tenant's baseline; nothing if it is forgotten."""
    tenant, user_id = state.tenant, seen.user_id
    user = state.users.get(user_id)
    base = user.baseline if user is not None else None
    failed = seen.failed
    _count(tenant.baseline, failed=failed)
    if user is None or base is None:
        return
    _count(base, failed=failed)
    if failed:
        return
    for one in (base, tenant.baseline):
        _amounts(seen, one)
        _sums(seen, one)
    _values(seen, base, state)
    _place(seen, base.places)
    if base.events <= 0.0:
        user.baseline = None
        tenant.users = max(0.0, tenant.users - 1.0)
        state.users.demote(user_id, user)


def _count(base: Baseline, *, failed: bool) -> None:
    base.events = max(0.0, base.events - 1.0)
    base.failures = max(0.0, base.failures - failed)


def _amounts(seen: Sighting, base: Baseline) -> None:
    _scale(base.rate, seen.rate)
    if not seen.token:
        _rhythm(base.rhythm, seen)
    if seen.size_bits >= 0.0:
        _scale(base.transfer if seen.transfer else base.other_bytes, seen.size_bits)


def _scale(scale: Scale, value: float) -> None:
    """Welford backwards; an extreme was learned as if it lay at three spreads."""
    weight = scale.weight
    if weight <= 1.0:
        scale.weight = scale.mean = scale.squares = 0.0
        return
    if weight > WINSOR_EVENTS:
        reach = 3 * max(sqrt(scale.squares / weight), LEAST_SPREAD)
        value = min(max(value, scale.mean - reach), scale.mean + reach)
    mean = (scale.mean * weight - value) / (weight - 1.0)
    scale.squares = max(0.0, scale.squares - (value - scale.mean) * (value - mean))
    scale.weight, scale.mean = weight - 1.0, max(0.0, mean)


def _rhythm(rhythm: Rhythm, seen: Sighting) -> None:
    """What ``Rhythm.learn`` added, taken away."""
    once, counted = Rhythm(), vote(seen.rate)
    once.learn(seen.hour, seen.day, inf, counted)
    rhythm.weight = max(0.0, rhythm.weight - counted)
    rhythm.hours = _less(rhythm.hours, once.hours)
    rhythm.days = _less(rhythm.days, once.days)


def _less(counts: vec[float], taken: vec[float]) -> vec[float]:
    return vec[float]([max(0.0, a - b) for a, b in zip(counts, taken, strict=True)])


def _sums(seen: Sighting, base: Baseline) -> None:
    new_day, new_week, bytes_day, bytes_week = seen.sums
    if seen.new:
        _level(base.new_level, new_day, new_week)
    if seen.size:
        _level(base.bytes_level, bytes_day, bytes_week)


def _level(level: Level, day: float, week: float) -> None:
    weight = level.weight
    if weight <= 1.0:
        level.weight = level.day = level.week = 0.0
        return
    level.day = max(0.0, (level.day * weight - log2(1.0 + day)) / (weight - 1.0))
    level.week = max(0.0, (level.week * weight - log2(1.0 + week)) / (weight - 1.0))
    level.weight = weight - 1.0


def _values(seen: Sighting, base: Baseline, state: State) -> None:
    user_id = seen.user_id
    for index, value in enumerate(seen.values):
        if value is None:
            continue
        gone = base.habits.forget(index, value)
        if base.habits.weight(index) > 0.0:  # the first of all was never counted
            firsts = state.tenant.firsts[index]
            firsts.events = max(0.0, firsts.events - 1.0)
            firsts.firsts = max(0.0, firsts.firsts - gone)
        if not gone:
            continue
        if index < len(SHARED):
            _leave_crowd(index, value, user_id, state.tenant)
        device = state.devices.get(value) if index == _DEVICE else None
        address = state.addresses.get(value) if index == _ADDRESS else None
        owned = device or address
        if address is not None:
            address.people = max(0, address.people - 1)
        if owned is not None and user_id in owned.regulars:
            owned.regulars.remove(user_id)


def _leave_crowd(field: int, value: str, user_id: str, tenant: Tenant) -> None:
    """Whoever shares the user's bit comes back within a day: the crowd is told daily."""
    bit = slot(user_id, tenant.users)
    if bit < 0:
        return
    for crowd in (tenant.crowd, tenant.lately):
        _clear(crowd, field, value, bit)


def _clear(crowd: Crowd, field: int, value: str, bit: int) -> None:
    for generation in (crowd.now, crowd.before):
        bitmap = generation[field].get(value)
        if bitmap is not None:
            bitmap[bit >> 3] &= ~(1 << (bit & 7)) & 0xFF


def _place(seen: Sighting, places: Places) -> None:
    latitude, longitude = seen.event.latitude, seen.event.longitude
    if latitude is None or longitude is None or not places.known:
        return
    near = min(places.known, key=lambda one: distance_km(latitude, longitude, one[0], one[1]))
    lat, lon, weight = near
    places.known.remove(near)
    if weight > 1.0:
        places.known.append((lat, lon, weight - 1.0))
