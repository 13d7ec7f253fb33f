"""What is known about one event at the moment it happens: its facts."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, sqrt
from typing import Final

from preprocessing.accumulated import NO_SUMS, SIZE_UNIT, SUMS, UNKNOWN
from preprocessing.baseline import PRIOR_EVENTS
from preprocessing.crowd import peer_bits, slot, tenant_bits
from preprocessing.event import AuthEvent
from preprocessing.geo import distance_km
from preprocessing.history import (
    CATEGORIES,
    DAY_S,
    FACTS,
    HOUR_S,
    SHARED,
    SHORT_S,
    HistorySettings,
)
from preprocessing.opened import scatter
from preprocessing.sighting import Sighting
from preprocessing.state import Address, Baseline, Tenant, User
from preprocessing.unproven import PROVEN, away_share, meet

NOTHING: Final = Baseline()
_EVENTS_1H: Final = FACTS.index("events_1h")
_SHARED: Final = len(SHARED)
_RESOURCE: Final = CATEGORIES.index("resource")
_NETWORK: Final = CATEGORIES.index("network")
_ADDRESS: Final = CATEGORIES.index("address")
_PLACES: Final = frozenset({SHARED.index("country"), _NETWORK})
_NO_VIEWS: Final = (0.0,) * (2 * _SHARED)
_DEVICE: Final = CATEGORIES.index("device")
_AGENT: Final = CATEGORIES.index("agent")
_KIND: Final = CATEGORIES.index("kind")
#: Fields of which more is recorded than that a value is new to its user.
_TELLING: Final = frozenset({_RESOURCE, _NETWORK, _DEVICE})
_NO_SPRAY = (0.0, 0.0)
_STAYED = (0.0, 0.0, 0.0)
#: As long ago as makes no difference, seconds.
NEVER_S: Final = 1e9
_NOTHING_LASTING = (*PROVEN, 0.0)
_NOTHING_ADDED = (*NO_SUMS, *(UNKNOWN,) * len(SUMS))
#: What it is worth that a session goes on with another device, agent or network, in bits, besides
#: how rare that one is for the user. The tenant's ordinary events tell how surprising that is:
#: phones change networks, hardly anything changes devices.
MOVED_BITS: Final = 2.0
#: What remains of the surprise of a place or way of access that is no habit of a service account
#: but one of the person on whose own device it is used, its administrator. Ours: administrators
#: misuse accounts too, so it is not nothing.
COLLEAGUE_SHARE: Final = 0.3
#: Users, each lately there for the first time and on a device of their own, who make an address an
#: exit at once: no thief has the devices of three people. Where so many are, no place is strange.
ENOUGH_VISITORS: Final = 3
#: Adopters of a value that do not count yet: two, or an eighth of the root of all users, because
#: where many work, a few begin to use anything on any two days.
LEAST_ADOPTERS: Final = 2.0
_NO_USER_FAILURES = (0.0, 0.0, 0.0, 0.0, 0.0)
_NO_ADDRESS_FAILURES = (0.0, 0.0, 0.0, 0.0)


class Lookup:
    """Facts of events as of one state of the baselines: good until something is learned.

    What only ``learn`` can change of the tenant is worked out once, here.
    """

    def __init__(self, tenant: Tenant, settings: HistorySettings) -> None:
        ours = tenant.baseline
        self._ours = ours
        self._tenant = tenant
        self._everybody = tenant.crowd.everybody()
        self._few = max(LEAST_ADOPTERS, sqrt(tenant.users) / 8)
        self._settings = settings
        self._late_s = settings.late_s
        self._prior_rate = ours.rate.mean * PRIOR_EVENTS
        self._prior_firsts = [PRIOR_EVENTS * firsts.rate() for firsts in tenant.firsts]
        self._prior_failures = PRIOR_EVENTS * ((ours.failures + 1.0) / (ours.events + 10.0))
        self._new_user_bits = tenant.failing.bits()
        self._as_rare: dict[int, float] = {}

    def is_late(self, at_s: float, user: User) -> bool:
        return at_s < user.newest_s - self._late_s

    def facts(self, seen: Sighting, user: User, address: Address | None) -> tuple[float, ...]:
        """One row in the order of ``history.FACTS``."""
        event, at_s = seen.event, seen.at_s
        base = user.baseline or NOTHING
        failed = seen.failed
        seen.size = (event.bytes_transferred or 0) / SIZE_UNIT
        failures, failures_hour, failures_day, denials, denials_hour = _user_failures(user, at_s)
        theirs, theirs_hour, theirs_day, failing_users = _address_failures(address, at_s)
        hour_bits, day_bits = self._rhythm(seen, base)
        amount, user_dev, tenant_dev = self._bytes(seen, base)
        seen.fresh = []
        user_bits = base.habits.rarities(seen.keys, self._prior_firsts, seen.fresh)
        places = self._places(seen, user, base, address)
        views: Sequence[float] = _NO_VIEWS
        # In ascending order: most often only the address is fresh, of which nobody has a view.
        if seen.fresh and (seen.fresh[0] < _SHARED or seen.owner is not None):
            away = away_share(seen, user, base)
            views, home_share = self._views(seen, base, user_bits, address, away)
            places = (places[0] * home_share, places[1], places[2] * home_share * away)
        seen.new = 0.0
        if _RESOURCE in seen.fresh:
            seen.new = user_bits[_RESOURCE] + views[_RESOURCE] + views[_SHARED + _RESOURCE]
        return (
            hour_bits,
            day_bits,
            max(0.0, at_s - user.newest_s) if user.newest_s else 0.0,
            user.events.read(at_s, HOUR_S),
            (base.rate.mean * base.rate.weight + self._prior_rate)
            / (base.rate.weight + PRIOR_EVENTS),
            *places,
            amount,
            user_dev,
            tenant_dev,
            *user_bits,
            *views,
            failures,
            failures_day,
            theirs,
            theirs_day,
            failing_users,
            float(max(address.people, len(address.regulars))) if address else 0.0,
            denials,
            float(event.failed_attempts or 0),
            self._failure_bits(base) if failed else 0.0,
            self._new_user_bits if failed and not base.events else 0.0,
            0.0 if failed else 1.0,
            base.events - user.since,
            failures_hour,
            theirs_hour,
            denials_hour,
            self._drift(seen, base, user_dev) if seen.transfer else 0.0,
            *_moved(seen, user_bits),
            *self._sums(seen, user, base),
            _misused_service(seen, base),
            _factor_age_s(seen, user),
            *(self._spray(seen) if failed else _NO_SPRAY),
            *self._lasting(seen, user, base, (hour_bits, seen.new, user_dev)),
        )

    def events_1h(self, seen: Sighting, user: User, address: Address | None) -> float:
        """That fact alone, with all that is recorded of the others on the way to them: hardly
        anything of an event whose resource, network and device are usual, as they mostly are."""
        base = user.baseline
        seen.fresh = base.habits.fresh(seen.keys) if base else list(_TELLING)
        if user.unproven or not _TELLING.isdisjoint(seen.fresh):
            return self.facts(seen, user, address)[_EVENTS_1H]
        seen.new, seen.size = 0.0, (seen.event.bytes_transferred or 0) / SIZE_UNIT
        return user.events.read(seen.at_s, HOUR_S)

    def _lasting(
        self, seen: Sighting, user: User, base: Baseline, strange: tuple[float, float, float]
    ) -> tuple[float, ...]:
        """What goes on for days: an unproven device, resources opened lately."""
        if not (seen.fresh or user.unproven or user.opened):
            return _NOTHING_LASTING
        unproven = meet(seen, user, base, strange, self._settings)
        return *unproven, scatter(seen, user, base, self._tenant.crowd)

    def _rhythm(self, seen: Sighting, base: Baseline) -> tuple[float, float]:
        """Rarity of the hour and of the weekday; tokens are refreshed around the clock."""
        if seen.token:
            return 0.0, 0.0
        ours, hour = self._ours.rhythm, int(seen.hour)
        as_rare = self._as_rare.get(hour)
        if as_rare is None:
            as_rare = self._as_rare[hour] = ours.as_rare(hour + 0.5)
        hour_bits, day_bits = base.rhythm.bits(seen.hour, seen.day, ours, as_rare)
        known_s = seen.at_s - base.first_s if base.events else 0.0
        return hour_bits, min(day_bits, _most_weekday_bits(known_s))

    def _views(
        self,
        seen: Sighting,
        base: Baseline,
        user_bits: list[float],
        address: Address | None,
        away: float,
    ) -> tuple[list[float], float]:
        """Rarity among peers, then in the tenant, of each shared value that is no habit of the
        user, and the share that remains of the distance from home. What others have just begun to
        use as well is that much less surprising, and so is what is usual for a service account's
        administrator: ``user_bits`` too. ``away``: what remains of that of a place."""
        crowd, everybody = self._tenant.crowd, self._everybody
        peers = int.from_bytes(base.peers, "little")
        own = -1
        views = [0.0] * (2 * _SHARED)
        home_share = 1.0
        for field in seen.fresh:
            value = seen.values[field]
            if value is None:
                continue
            owned = seen.owner is not None and seen.owner.habits.knows(field, value)
            if field >= _SHARED:
                user_bits[field] *= COLLEAGUE_SHARE if owned else 1.0
                continue
            if own < 0:
                own = 1 << slot(seen.user_id, 0)
            users = crowd.users(field, value) & ~own
            share = self._adopted(field, value, users, own)
            if field in _PLACES and address is not None:
                share = min(share, _share_among(address, seen))
            if owned and field != _RESOURCE:
                share *= COLLEAGUE_SHARE
            if field == _NETWORK:
                user_bits[_ADDRESS] *= share * away
                home_share = share
            share *= away if field in _PLACES else 1.0
            user_bits[field] *= share
            views[field] = peer_bits(users, everybody, peers) * share
            views[_SHARED + field] = tenant_bits(users, everybody) * share
        return views, home_share

    def _adopted(self, field: int, value: str, users: int, own: int) -> float:
        """How much of a new value's surprise remains, in (0, 1], when others began to use it too:
        less, once those are more than the ``users`` who did so before."""
        others = self._tenant.lately.users(field, value) & ~own
        count = others.bit_count()
        if count <= self._few or count <= (users & ~others).bit_count():
            return 1.0
        return self._few / count

    def _places(
        self, seen: Sighting, user: User, base: Baseline, address: Address | None
    ) -> tuple[float, float, float]:
        """Travel since the last good place (successes only) and distance from usual places."""
        event, place = seen.event, user.place
        latitude, longitude = event.latitude, event.longitude
        if latitude is None or longitude is None:
            return 0.0, 0.0, 0.0
        away_km = base.places.distance_km(latitude, longitude)
        # Coming back to a usual place is not travel worth an alert: leaving it was.
        if (
            place is None
            or self.is_late(seen.at_s, user)
            or seen.failed
            or seen.token
            or is_egress(address, self._settings)
            or (base.places.known and away_km == 0.0)
        ):
            return 0.0, 0.0, away_km
        km = distance_km(place.latitude, place.longitude, latitude, longitude)
        return km, abs(seen.at_s - place.at_s), away_km

    def _bytes(self, seen: Sighting, base: Baseline) -> tuple[float, float, float]:
        """Transferred bytes, and their deviations from the user's and the tenant's."""
        amount, bits = seen.event.bytes_transferred, seen.size_bits
        if amount is None:
            return 0.0, 0.0, 0.0
        ours = self._ours
        if seen.transfer:
            mine, ours_scale = base.transfer, ours.transfer
        else:
            mine, ours_scale = base.other_bytes, ours.other_bytes
        mine_dev = mine.deviations(bits, ours_scale)
        return float(amount), mine_dev, ours_scale.deviations(bits, ours_scale)

    def _drift(self, seen: Sighting, base: Baseline, user_dev: float) -> float:
        """How much stranger a transfer is against the user's long memory than against the short."""
        if seen.size_bits < 0.0:
            return 0.0
        return max(0.0, base.anchor.deviations(seen.size_bits) - user_dev)

    def _sums(self, seen: Sighting, user: User, base: Baseline) -> tuple[float, ...]:
        """The user's sums before an event that adds to them, and what they usually are."""
        if not (seen.new or seen.size):
            return _NOTHING_ADDED
        sums = user.sums.read(seen.at_s) if user.sums else NO_SUMS
        ours = self._ours
        return (
            *sums,
            *base.new_level.usual(ours.new_level),
            *base.bytes_level.usual(ours.bytes_level),
        )

    def _spray(self, seen: Sighting) -> tuple[float, float]:
        """At a failure in a network strange to its user: how many users failed like this within
        the hour, and the usual log2(1 + users)."""
        values = seen.values
        if values[_NETWORK] is None or _NETWORK not in seen.fresh:
            return _NO_SPRAY
        users = self._tenant.spray.users.read(seen.at_s, HOUR_S)
        level = self._tenant.spray_level
        seen.spray = log2(1.0 + users)
        return users, level.mean if level.weight else 0.0

    def _failure_bits(self, base: Baseline) -> float:
        """Surprise of a failure, -log2 of the user's smoothed failure share."""
        return -log2((base.failures + self._prior_failures) / (base.events + PRIOR_EVENTS))


def _share_among(address: Address, seen: Sighting) -> float:
    """How much of a place's surprise remains where others work from the same address."""
    names = {name for name, at_s in address.visitors.items() if at_s >= seen.at_s - 2 * DAY_S}
    others = len({*names, *address.regulars} - {seen.user_id})
    return 1.0 / others if others >= ENOUGH_VISITORS else 1.0


def _moved(seen: Sighting, user_bits: Sequence[float]) -> tuple[float, float, float]:
    """Where an event left what its session began with: device, agent, network; in bits."""
    session, values = seen.session, seen.values
    if session is None:
        return _STAYED
    if (
        values[_DEVICE] == session.device
        and values[_AGENT] == session.agent
        and values[_NETWORK] == session.network
    ):
        return _STAYED
    began = ((_DEVICE, session.device), (_AGENT, session.agent), (_NETWORK, session.network))
    device, agent, network = (
        MOVED_BITS + user_bits[field]
        if before is not None and values[field] is not None and values[field] != before
        else 0.0
        for field, before in began
    )
    return device, agent, network


def service_share(base: Baseline | None) -> float:
    """The share of an account's events that were a service's, in [0, 1]."""
    if base is None or not base.habits.weight(_KIND):
        return 0.0
    kinds = base.habits.items(_KIND)
    service = sum([count for kind, count in kinds if kind.startswith("service")])
    return service / base.habits.weight(_KIND)


def _misused_service(seen: Sighting, base: Baseline) -> float:
    """Of an interactive event of a kind that is no habit of its account: its share of a service."""
    if seen.event.auth_kind != "interactive" or _KIND not in seen.fresh:
        return 0.0
    return service_share(base) * (COLLEAGUE_SHARE if seen.owner else 1.0)


def changes_factor(event: AuthEvent) -> bool:
    """Whether an event gives up a second factor or enrols one without showing another."""
    return event.action == "mfa" and event.outcome == "success" and event.mfa is False


def _factor_age_s(seen: Sighting, user: User) -> float:
    """Seconds since the user's second factor was changed, 0 at the change itself."""
    if changes_factor(seen.event):
        return 0.0
    return max(0.0, seen.at_s - user.factor_s) if user.factor_s else NEVER_S


def _most_weekday_bits(known_s: float) -> float:
    """How much a weekday without events can say of somebody known for so long, in bits.

    Events of one day are one decision to work, so weeks count, not events: after w weeks without
    it, a weekday has a chance of 1 in w + 2 (Laplace's rule of succession), against 1 in 2 of
    somebody of whom nothing is known. An event from before all that is known has no weeks at all.
    """
    return log2((max(0.0, known_s) / (7 * DAY_S) + 2.0) / 2.0)


def is_egress(address: Address | None, settings: HistorySettings) -> bool:
    """Whether an address is an office or VPN exit: it says nothing about where a person is."""
    if address is None:
        return False
    visitors = len(address.visitors)
    return visitors >= ENOUGH_VISITORS or len(address.regulars) + visitors >= settings.egress_users


def _user_failures(user: User, at_s: float) -> tuple[float, float, float, float, float]:
    """Decayed counts: failures of 15 minutes, an hour and a day; denied second factors of 15
    minutes and an hour."""
    failures = user.failures
    if failures is None:
        return _NO_USER_FAILURES
    denied = failures.denials.value
    return (
        failures.recent.read(at_s, SHORT_S),
        failures.hour.read(at_s, HOUR_S),
        failures.day.read(at_s, DAY_S),
        failures.denials.read(at_s, SHORT_S) if denied else 0.0,
        failures.hour_denials.read(at_s, HOUR_S) if denied else 0.0,
    )


def _address_failures(address: Address | None, at_s: float) -> tuple[float, float, float, float]:
    """Decayed counts: failures of 15 minutes, an hour and a day, users failing in the hour."""
    if address is None or address.failures is None:
        return _NO_ADDRESS_FAILURES
    failures = address.failures
    return (
        failures.recent.read(at_s, SHORT_S),
        failures.hour.read(at_s, HOUR_S),
        failures.day.read(at_s, DAY_S),
        failures.users.read(at_s, HOUR_S),
    )
