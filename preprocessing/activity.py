"""Activity of users and addresses, recorded the moment an event is observed."""

from __future__ import annotations

from typing import Final

from preprocessing.accumulated import Sums
from preprocessing.crowd import slot
from preprocessing.geo import FASTEST_KMH, distance_km, speed_kmh
from preprocessing.history import (
    CATEGORIES,
    DAY_S,
    HOUR_S,
    SHARED,
    SHORT_S,
    HistorySettings,
)
from preprocessing.lookup import changes_factor, is_egress
from preprocessing.opened import remember_opened
from preprocessing.sighting import Sighting
from preprocessing.state import (
    Address,
    AddressFailures,
    Tenant,
    User,
    UserFailures,
)
from preprocessing.unproven import SILENT_S, remember_unproven
from preprocessing.whereabouts import Place

#: Most of an address's failing users remembered by name; beyond it a user may count twice.
MOST_FAILED: Final = 256

_SHARED: Final = len(SHARED)
_PLACES: Final = frozenset({SHARED.index("country"), SHARED.index("network")})
_NETWORK, _DEVICE, _ADDRESS = (CATEGORIES.index(name) for name in ("network", "device", "address"))


def record(
    seen: Sighting, user: User, address: Address | None, tenant: Tenant, settings: HistorySettings
) -> None:
    """Counters and last place of the event's user and address, and what the user begins to use."""
    at_s = seen.at_s
    if seen.new or seen.size:
        if user.sums is None:
            user.sums = Sums()
        seen.sums = user.sums.add(at_s, seen.new, seen.size)
    if address is not None and address.visitors:
        _forget_visitors(address.visitors, at_s)
    user.events.add(1.0, at_s, HOUR_S)
    if seen.unproven is not None or user.unproven:
        remember_unproven(seen, user)
    if seen.opened >= 0.0:
        remember_opened(seen, user)
    user.newest_s = max(user.newest_s, at_s)
    if seen.failed:
        _record_failure(seen, user, address)
        if seen.spray >= 0:
            _count(tenant.spray, seen.user_id, at_s)
        return
    if user.active_s and at_s - user.active_s > SILENT_S:
        user.woken_s, user.silence_s = at_s, at_s - user.active_s
    user.active_s = max(user.active_s, at_s)
    if changes_factor(seen.event):
        user.factor_s = max(user.factor_s, at_s)
    if seen.fresh and user.baseline is not None:
        _record_adoption(seen, user, address, tenant, settings)
    if not seen.token and not is_egress(address, settings):
        _record_place(seen, user)


def _record_adoption(
    seen: Sighting,
    user: User,
    address: Address | None,
    tenant: Tenant,
    settings: HistorySettings,
) -> None:
    """Count a user among those who begin to use a value, if the event is otherwise in keeping: a
    place only from the user's own device, all else only from a known network. An attacker with one
    machine and many passwords is on a device that none of the users knows."""
    fresh, values = seen.fresh, seen.values
    device = values[_DEVICE]
    own_device = device is not None and _DEVICE not in fresh and device not in user.unproven
    known_network = values[_NETWORK] is not None and _NETWORK not in fresh
    if not (own_device or known_network):
        return
    lately = tenant.lately
    bit = slot(seen.user_id, 0)
    for field in fresh:
        value = values[field]
        if value is None:
            continue
        if field < _SHARED and (own_device if field in _PLACES else known_network):
            lately.add(field, value, bit, settings.tenant_values)
        elif field == _ADDRESS and own_device:
            _record_visitor(seen, address, settings.egress_users)


def _record_visitor(seen: Sighting, address: Address | None, most: int) -> None:
    if address is not None and len(address.visitors) < most:
        address.visitors[seen.user_id] = seen.at_s


def _forget_visitors(visitors: dict[str, float], at_s: float) -> None:
    for name in [name for name, since_s in visitors.items() if since_s < at_s - 2 * DAY_S]:
        del visitors[name]


def _record_failure(seen: Sighting, user: User, address: Address | None) -> None:
    at_s, user_id = seen.at_s, seen.user_id
    mine = user.failures
    if mine is None:
        mine = user.failures = UserFailures()
    mine.recent.add(1.0, at_s, SHORT_S)
    mine.hour.add(1.0, at_s, HOUR_S)
    mine.day.add(1.0, at_s, DAY_S)
    if seen.event.action == "mfa":
        mine.denials.add(1.0, at_s, SHORT_S)
        mine.hour_denials.add(1.0, at_s, HOUR_S)
    if address is None:
        return
    theirs = address.failures
    if theirs is None:
        theirs = address.failures = AddressFailures()
    _count(theirs, user_id, at_s)


def _count(failures: AddressFailures, user_id: str, at_s: float) -> None:
    """Count one more failure, and its user if that one has not failed there within the hour."""
    failures.recent.add(1.0, at_s, SHORT_S)
    failures.hour.add(1.0, at_s, HOUR_S)
    failures.day.add(1.0, at_s, DAY_S)
    if at_s - failures.last_s.get(user_id, -HOUR_S) >= HOUR_S:
        failures.users.add(1.0, at_s, HOUR_S)
        failures.last_s[user_id] = at_s
        if len(failures.last_s) > MOST_FAILED:
            del failures.last_s[next(iter(failures.last_s))]


def _record_place(seen: Sighting, user: User) -> None:
    """Remember where the user really was: not an office exit, not a background refresh, and not
    where nobody could be yet: the impostor must not become the user's last place."""
    event, at_s = seen.event, seen.at_s
    latitude, longitude = event.latitude, event.longitude
    if latitude is None or longitude is None:
        return
    if user.place is None or _reachable(user.place, latitude, longitude, at_s):
        user.place = Place(
            latitude, longitude, at_s, event.city, event.country, event.source_ip, event.device_id
        )


def _reachable(place: Place, latitude: float, longitude: float, at_s: float) -> bool:
    """Whether somebody at ``place`` can be at these degrees by ``at_s`` in an ordinary flight."""
    if at_s < place.at_s:
        return False
    if latitude == place.latitude and longitude == place.longitude:
        return True
    away = distance_km(place.latitude, place.longitude, latitude, longitude)
    return speed_kmh(away, at_s - place.at_s) <= FASTEST_KMH
