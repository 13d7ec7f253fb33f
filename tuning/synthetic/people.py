"""The synthetic users: where they live, when they work, what they use."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Literal

from preprocessing.geo import distance_km
from tuning.synthetic.devices import LAPTOPS, PHONES, Device, make_device
from tuning.synthetic.geography import (
    CITIES,
    City,
    Network,
    Place,
    displaced,
    fixed_networks,
    mobile_network,
    place_in,
)
from tuning.synthetic.organisation import (
    COMPANY_WIDE,
    DEPARTMENTS,
    PROJECTS,
    Office,
    Organisation,
)

DAY_S = 86_400.0
HOUR_S = 3_600.0
AuthHabit = Literal["sso", "password", "key"]

_FIRST = """\
ada amir anna bruno carla chen clara daan dilek elif emil erik farah felix gita hana hugo ines
ivan jana jonas karim lara leon lin luca maja marco mei mila nadia nils noor olga omar paula
pedro priya rosa samir sara sven tara theo tomas uma vera yuki zoe"""
_LAST = """\
abbott aydin becker bianchi costa dubois eriksen fischer garcia haas ibrahim jansen kaya kim
kowalski kumar lopez meyer moreau nakamura novak okafor olsen patel petrov quinn rossi sato
schmidt silva singh smit tanaka torres vogel walsh weber wong yilmaz zhang"""

# kind: share of users, start hour, end hour, days of the week (Monday = 0)
_RHYTHMS: tuple[tuple[float, float, float, tuple[int, ...]], ...] = (
    (0.50, 8.8, 17.5, (0, 1, 2, 3, 4)),
    (0.14, 6.2, 14.8, (0, 1, 2, 3, 4)),
    (0.12, 11.5, 20.5, (0, 1, 2, 3, 4)),
    (0.09, 22.0, 30.0, (0, 1, 2, 3, 4)),
    (0.08, 8.8, 13.5, (0, 1, 2, 3)),
    (0.07, 9.5, 18.0, (2, 3, 4, 5, 6)),
)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a user works: local hours [start_h, end_h), beyond 24 past midnight; weekdays."""

    start_h: float
    end_h: float
    weekdays: frozenset[int]

    def hours_outside(self, local_hour: float) -> float:
        """Hours between a local time of day and the nearest edge of the working window."""
        into = (local_hour - self.start_h) % 24
        length = self.end_h - self.start_h
        return 0.0 if into <= length else min(into - length, 24 - into)


@dataclass(frozen=True, slots=True)
class Trip:
    """A journey: seconds since 1970; nothing is done between leaving and arriving."""

    city: City
    leaves: float
    arrives: float
    starts_back: float
    home_again: float
    hotel: Place


@dataclass(frozen=True, slots=True)
class User:
    """One person of the synthetic company; `log_bytes` is the natural log of a usual transfer.

    `tunnel_share` of the sessions from home go through a consumer VPN; on the days [first, after)
    of an absence nothing is done.
    """

    user_id: str
    department: str
    home: City
    network: Network
    salt: int
    office: Office | None
    rhythm: Rhythm
    intensity: float
    devices: tuple[Device, ...]
    resources: tuple[str, ...]
    resource_weights: tuple[float, ...]
    log_bytes: float
    log_bytes_sd: float
    auth: AuthHabit
    vpn_share: float
    month_end: bool
    first_day: int
    trips: tuple[Trip, ...]
    hubs: tuple[tuple[float, float], ...]
    local_stamps: bool
    tunnel_share: float = 0.0
    absences: tuple[tuple[int, int], ...] = ()

    def household(self, day: int) -> Place:
        """The home connection; the provider changes its address every six days or so."""
        lease = (day + self.salt % 6) // 6
        return place_in(self.home, self.network, (self.salt * 7919 + lease * 40503) % 65536)

    def on_mobile(self, rng: random.Random) -> Place:
        """The phone's place as geo-IP sees it: a carrier hub that may be far away."""
        carrier = mobile_network(self.home)
        near = place_in(self.home, carrier, rng.randrange(65536))
        if rng.random() < 0.45:
            return near
        latitude, longitude = rng.choice(self.hubs)
        return Place(near.ip, carrier.asn, self.home.country, None, latitude, longitude)

    def trip_at(self, at: float) -> Trip | None:
        """The trip the user is on at that time (seconds since 1970), journeys included."""
        for trip in self.trips:
            if trip.leaves <= at < trip.home_again:
                return trip
        return None

    def is_absent(self, day: int) -> bool:
        """Whether the user does nothing on that day of the period."""
        return day < self.first_day or any(first <= day < after for first, after in self.absences)

    def local_hour(self, at: float) -> float:
        """Hour of day [0, 24) at home."""
        return ((at + self.home.utc_offset_h * HOUR_S) % DAY_S) / HOUR_S

    def in_use(self, day: int) -> tuple[Device, ...]:
        """The devices the user has on that day."""
        return tuple(d for d in self.devices if d.first_day <= day < d.last_day)


def make_users(
    rng: random.Random, organisation: Organisation, count: int, *, start: float, days: int
) -> list[User]:
    """`count` users; everything about them depends on `rng` alone."""
    names = _names(rng, count)
    return [_make_user(rng, organisation, name, start, days) for name in names]


def _names(rng: random.Random, count: int) -> list[str]:
    pairs = [f"{first}.{last}" for first, last in itertools.product(_FIRST.split(), _LAST.split())]
    rounds = 1 + count // len(pairs)
    pool = pairs + [f"{pair}{number}" for number in range(2, rounds + 1) for pair in pairs]
    return rng.sample(pool, count)


def _make_user(
    rng: random.Random, organisation: Organisation, name: str, start: float, days: int
) -> User:
    office = rng.choice(organisation.offices) if rng.random() < 0.6 else None
    home = office.city if office else rng.choice(CITIES)
    department = rng.choice(tuple(DEPARTMENTS))
    resources, weights = habits(rng, department)
    return User(
        user_id=f"{name}@{organisation.domain}",
        department=department,
        home=home,
        network=rng.choice(fixed_networks(home)),
        salt=rng.randrange(1 << 20),
        office=office,
        rhythm=_rhythm(rng),
        intensity=rng.uniform(0.75, 1.35),
        devices=_devices(rng, department, days),
        resources=resources,
        resource_weights=weights,
        log_bytes=rng.gauss(15.0, 1.7),
        log_bytes_sd=rng.uniform(0.5, 0.9),
        auth=_auth(rng, department),
        vpn_share=rng.uniform(0.15, 0.4) if rng.random() < 0.18 else 0.0,
        month_end=department == "finance",
        first_day=rng.randrange(6, max(7, days - 5)) if rng.random() < 0.05 else -1,
        trips=_trips(rng, home, start, days),
        hubs=hubs(rng, home),
        local_stamps=rng.random() < 0.3,
    )


def _rhythm(rng: random.Random) -> Rhythm:
    shares = [row[0] for row in _RHYTHMS]
    _, start_h, end_h, weekdays = rng.choices(_RHYTHMS, shares)[0]
    shift = rng.gauss(0, 0.5)
    return Rhythm(start_h + shift, end_h + shift, frozenset(weekdays))


def _auth(rng: random.Random, department: str) -> AuthHabit:
    if department in {"engineering", "operations", "research"} and rng.random() < 0.4:
        return "key"
    return "sso" if rng.random() < 0.6 else "password"


def habits(rng: random.Random, department: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Resources somebody of the department uses, and how much they like each."""
    own = DEPARTMENTS[department]
    chosen = rng.sample(COMPANY_WIDE, rng.randrange(3, 6))
    chosen += rng.sample(own, min(len(own), rng.randrange(3, 6)))
    chosen += rng.sample(PROJECTS, rng.randrange(1, 4))
    rng.shuffle(chosen)
    return tuple(chosen), tuple(1.0 / (rank + 1.5) for rank in range(len(chosen)))


def _devices(rng: random.Random, department: str, days: int) -> tuple[Device, ...]:
    laptops = LAPTOPS if department in {"engineering", "research"} else LAPTOPS[:2]
    owned = []
    if rng.random() < 0.08:
        day = rng.randrange(4, max(5, days - 3))
        owned.append(make_device(rng, laptops, last_day=day))
        owned.append(make_device(rng, laptops, first_day=day))
    else:
        owned.append(make_device(rng, laptops))
    if rng.random() < 0.7:
        owned.append(make_device(rng, PHONES))
    if rng.random() < 0.2:
        owned.append(make_device(rng, laptops))
    return tuple(owned)


def _trips(rng: random.Random, home: City, start: float, days: int) -> tuple[Trip, ...]:
    if rng.random() > 0.18:
        return ()
    away = [c for c in CITIES if _km(home, c) > 300]
    city = rng.choice(away)
    leaves = start + rng.uniform(1, max(1.5, days - 6)) * DAY_S
    # door to door: cruise at 800 km/h plus three hours of airports
    journey = (_km(home, city) / 800 + 3) * HOUR_S
    stay = min(5.0, rng.lognormvariate(0.6, 0.8)) * DAY_S
    back = leaves + journey + max(6 * HOUR_S, stay)
    hotel = place_in(city, rng.choice(fixed_networks(city)), rng.randrange(65536))
    return (Trip(city, leaves, leaves + journey, back, back + journey, hotel),)


def hubs(rng: random.Random, home: City) -> tuple[tuple[float, float], ...]:
    """Latitude and longitude of the two carrier hubs that phones of that city seem to be at."""
    return tuple(displaced(home, rng.uniform(0, 360), rng.uniform(50, 300)) for _ in range(2))


def _km(a: City, b: City) -> float:
    return distance_km(a.latitude, a.longitude, b.latitude, b.longitude)
