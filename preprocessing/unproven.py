"""Devices that nobody has vouched for: what is strange about them is summed over their events.

A device that is new to its user is *unproven* until it is seen at an address where the user was
before, as a replaced computer is within a day, or a device of the user's own at one of its
addresses. Who has stolen a password stays elsewhere. Meanwhile it is remembered how long the user
had been silent when the device appeared, and what was strange about each of its events, learned or
not: so the fifth event is judged with the first four. Doubt fades (preprocessing/measures.py) and
ends after a month; if even then nothing of the device was learned, it begins anew.

An event that names no device belongs to the unproven device at its address; if there is none, its
network stands for a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from preprocessing.geo import FASTEST_KMH, GEO_ACCURACY_KM, LEAST_TRAVEL_H, distance_km
from preprocessing.history import CATEGORIES, DAY_S, HOUR_S, HistorySettings
from preprocessing.sighting import Sighting
from preprocessing.state import Baseline, User
from preprocessing.whereabouts import Unproven

#: Unproven devices remembered of one user; the first is forgotten first.
MOST_UNPROVEN: Final = 4
#: What remains of the surprise of a place from a device that is long the user's own. Ours.
OWN_DEVICE_SHARE: Final = 0.5
#: Learned events from which a device is long the user's own.
OWN_DEVICE_EVENTS: Final = 10
#: Nobody's device stays unproven for longer, seconds.
UNPROVEN_UNTIL_S: Final = 30 * DAY_S
#: No success for longer than this is silence, seconds.
SILENT_S: Final = 7 * DAY_S
#: A device that appears within this time after silence appeared after silence, seconds.
AWAKE_S: Final = 3 * DAY_S
#: What the strange hour, or the size, of one event counts at most.
MOST_ADDED: Final = 6.0

Six = tuple[float, float, float, float, float, float]
PROVEN: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_NETWORK, _DEVICE, _ADDRESS = (CATEGORIES.index(name) for name in ("network", "device", "address"))


def meet(
    seen: Sighting,
    user: User,
    base: Baseline,
    strange: tuple[float, float, float],
    settings: HistorySettings,
) -> Six:
    """Age, silence before and sums (this event included) of the unproven device of an event, as in
    ``history.FACTS``; zeros if there is none. ``strange``: bits of the hour, of a new resource,
    deviations of bytes."""
    values, fresh, known = seen.values, seen.fresh, user.unproven
    device, address = values[_DEVICE], values[_ADDRESS]
    field = _NETWORK if device is None else _DEVICE
    if not known and field not in fresh:
        return PROVEN
    name = device or _at(known, address) or values[_NETWORK]
    if name is None:
        return PROVEN
    failed = seen.failed
    found = known.get(name)
    if found is None:
        settled = base.events >= settings.learning_events
        if failed or not settled or seen.owner or base.habits.knows(field, name):
            return PROVEN
        found = Unproven(seen.at_s, _silence_s(user, seen.at_s), seen.at_s)
    age_s = max(0.0, seen.at_s - found.since_s)
    # An address where another unproven device was vouches for none: it may be the attacker's.
    own = device is not None and base.habits.knows(_ADDRESS, address)
    own = own and not failed and _at(known, address) is None
    if age_s > UNPROVEN_UNTIL_S or own:
        return PROVEN
    hour, new, size = strange
    now = found.then(seen.at_s, (min(hour, MOST_ADDED), new, min(size, MOST_ADDED), 1.0), address)
    seen.unproven = name, now
    return (age_s, now.silence_s, *now.sums)


def away_share(seen: Sighting, user: User, base: Baseline) -> float:
    """How much of a place's surprise remains: less on a device that is long the user's own, if a
    flight explains how it got there: for whatever kind of event, a stolen token's as well."""
    device, event, place = seen.values[_DEVICE], seen.event, user.place
    if device is None or base.habits.count(_DEVICE, device) < OWN_DEVICE_EVENTS:
        return 1.0
    if place is None or event.latitude is None or event.longitude is None:
        return 1.0
    if device in user.unproven:
        return 1.0
    km = distance_km(place.latitude, place.longitude, event.latitude, event.longitude)
    hours = max(abs(seen.at_s - place.at_s) / HOUR_S, LEAST_TRAVEL_H)
    return 1.0 if km - GEO_ACCURACY_KM > hours * FASTEST_KMH else OWN_DEVICE_SHARE


def remember_unproven(seen: Sighting, user: User) -> None:
    """Keep what an unproven device did, or that it is one no more."""
    known = user.unproven
    if seen.unproven is not None:
        name, now = seen.unproven
        if name not in known and len(known) >= MOST_UNPROVEN:
            del known[next(iter(known))]
        known[name] = now
    elif known and not seen.failed and seen.values[_DEVICE] is not None:
        prove(seen, user)


def prove(seen: Sighting, user: User) -> dict[str, Unproven]:
    """An event was the user's own: so is its device, and so are devices at its address. Gives
    what they had been until then."""
    known, address = user.unproven, seen.values[_ADDRESS]
    own = seen.values[_DEVICE] or seen.values[_NETWORK]
    proven = {name: one for name, one in known.items() if name == own or address in one.addresses}
    for name in proven:
        del known[name]
    return proven


def doubt_again(proven: Mapping[str, Unproven], user: User) -> None:
    """Devices are what they had been before :func:`prove`; newer ones have precedence."""
    known = {**proven, **user.unproven}
    user.unproven = dict([*known.items()][-MOST_UNPROVEN:])


def _at(known: Mapping[str, Unproven], address: str | None) -> str | None:
    """The unproven device at an address."""
    return next((name for name, one in known.items() if address in one.addresses), None)


def _silence_s(user: User, at_s: float) -> float:
    """How long the user had been silent before a device that appears now."""
    if user.active_s and at_s - user.active_s > SILENT_S:
        return at_s - user.active_s
    return user.silence_s if 0.0 <= at_s - user.woken_s < AWAKE_S else 0.0
