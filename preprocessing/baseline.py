"""What is usual: small learned summaries of one user, one address or the whole tenant.

Everything here is a msgspec struct, so that a snapshot is one encode and holds no code. All
summaries forget by halving: once a summary weighs more than its limit, every count is halved and
what falls below one half is dropped. That bounds memory and makes the baseline the last few
hundred events rather than all time.
"""

from __future__ import annotations

from math import exp, inf, log2, sqrt
from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from preprocessing.geo import beyond_accuracy_km, distance_km

HOURS: Final = 24
DAYS: Final = 7
#: An event counts for the hours of the clock less than this many from it, hours: who begins at 9 on
#: most days is not odd at 7 or 11.
NEAR_HOURS: Final = 4
QUARTERS: Final = 4

#: Pseudo-events of what the tenant shows, mixed into every user's rates: a user with fewer events
#: than this is judged mostly by the tenant, later by their own.
PRIOR_EVENTS: Final = 4.0

#: Spread below which amounts are "the same", in log2: a factor of 1.4.
LEAST_SPREAD: Final = 0.5
#: Amounts seen before extremes are pulled in.
WINSOR_EVENTS: Final = 8.0

#: Transfers of a user until which the long memory follows the short one.
ANCHOR_EVENTS: Final = 6.0
#: Thereafter usual sizes may double in this time and seem usual, seconds: two months.
DOUBLING_S: Final = 60 * 86400.0

#: Two places nearer than this are one place of a user, km.
SAME_PLACE_KM: Final = 50.0
#: Two places that differ by less than this in both coordinates are one: 47 km at the equator,
#: nearer elsewhere.
NEAR_DEG: Final = 0.3
#: A degree of latitude is at least this long, km; 111.195 on the sphere of geo.py.
LEAST_DEGREE_KM: Final = 111.0


def _near(quarter: int) -> list[float]:
    """Weights, of sum 1, of the 2 * NEAR_HOURS hours of the clock around a time a little after a
    quarter past an hour: a triangle."""
    past = (quarter + 0.5) / QUARTERS
    away = [abs(hour - past) for hour in range(1 - NEAR_HOURS, NEAR_HOURS + 1)]
    heights = [max(0.0, 1.0 - hours / NEAR_HOURS) for hours in away]
    return [height / sum(heights) for height in heights]


_NEAR: Final = [_near(quarter) for quarter in range(QUARTERS)]


@final
@mypyc_attr(acyclic=True)
class Decaying:
    """A count whose past fades exponentially: value at ``at_s``, seconds since the epoch."""

    __slots__ = ("at_s", "value")

    def __init__(self, value: float = 0.0, at_s: float = 0.0) -> None:
        self.value = value
        self.at_s = at_s

    def read(self, at_s: float, tau_s: float) -> float:
        """The count as of ``at_s``; a reading in the past is the newest known value."""
        age_s = at_s - self.at_s
        return self.value * exp(-age_s / tau_s) if age_s > 0 else self.value

    def add(self, amount: float, at_s: float, tau_s: float) -> None:
        """Add ``amount`` that happened at ``at_s``; late amounts count for what is left of them."""
        age_s = at_s - self.at_s
        if age_s >= 0:
            self.value = self.value * exp(-age_s / tau_s) + amount
            self.at_s = at_s
        else:
            self.value += amount * exp(age_s / tau_s)


@final
@mypyc_attr(acyclic=True)
class Firsts:
    """How often an event brings its user a value of one field never seen before."""

    __slots__ = ("events", "firsts")

    def __init__(self, events: float = 0.0, firsts: float = 0.0) -> None:
        self.events = events
        self.firsts = firsts

    def rate(self) -> float:
        """Share of events that brought a new value, in (0, 1]."""
        return (self.firsts + 1.0) / (self.events + 2.0)


@final
@mypyc_attr(acyclic=True)
class Scale:
    """Running mean and spread of a log2-scaled amount (Welford 1962).

    Winsorised: what lies more than three spreads from the mean moves them as if it lay at three, so
    that one extreme amount that slipped through does not become the new normal.
    """

    __slots__ = ("mean", "squares", "weight")

    def __init__(self, weight: float = 0.0, mean: float = 0.0, squares: float = 0.0) -> None:
        self.weight = weight
        self.mean = mean
        self.squares = squares

    def learn(self, value: float, limit: float) -> None:
        if self.weight >= limit:
            self.weight /= 2
            self.squares /= 2
        weight, mean = self.weight, self.mean
        delta = value - mean
        # Beyond three spreads, without a square root for all the others.
        if weight >= WINSOR_EVENTS and delta * delta * weight > 9 * self.squares:
            reach = 3 * max(sqrt(self.squares / weight), LEAST_SPREAD)
            value = min(max(value, mean - reach), mean + reach)
            delta = value - mean
        weight += 1.0
        mean += delta / weight
        self.weight, self.mean = weight, mean
        self.squares += delta * (value - mean)

    def deviations(self, value: float, prior: Scale) -> float:
        """Standard deviations of ``value`` above the mean, >= 0, shrunk towards ``prior``."""
        total = self.weight + PRIOR_EVENTS
        prior_mean = prior.mean if prior.weight else value
        prior_variance = prior.squares / prior.weight if prior.weight else 0.0
        mean = (self.mean * self.weight + prior_mean * PRIOR_EVENTS) / total
        variance = (self.squares + prior_variance * PRIOR_EVENTS) / total
        return max(0.0, value - mean) / max(sqrt(variance), LEAST_SPREAD)


@final
@mypyc_attr(acyclic=True)
class Anchor:
    """A long memory of a :class:`Scale`, which follows it only slowly: who is led astray a little
    every day is seen against it."""

    __slots__ = ("at_s", "mean", "spread")

    def __init__(self, mean: float = 0.0, spread: float = 0.0, at_s: float = 0.0) -> None:
        self.mean = mean
        self.spread = spread
        self.at_s = at_s

    def follow(self, scale: Scale, at_s: float) -> None:
        """Move towards the scale as of ``at_s``: at once while it is young, then by a doubling in
        DOUBLING_S at most, and its spread by half as much."""
        spread = max(sqrt(scale.squares / scale.weight), LEAST_SPREAD)
        if scale.weight <= ANCHOR_EVENTS:
            self.mean, self.spread, self.at_s = scale.mean, spread, at_s
            return
        step = max(0.0, at_s - self.at_s) / DOUBLING_S
        self.mean += min(max(scale.mean - self.mean, -step), step)
        self.spread += min(max(spread - self.spread, -step / 2), step / 2)
        self.at_s = max(self.at_s, at_s)

    def deviations(self, value: float) -> float:
        """Spreads of ``value`` above the mean, >= 0; 0 while nothing is known."""
        return max(0.0, value - self.mean) / self.spread if self.spread else 0.0


@final
@mypyc_attr(acyclic=True)
class Rhythm:
    """When somebody is active: smoothed counts by hour of the day and by day of the week (UTC)."""

    __slots__ = ("days", "hours", "weight")

    def __init__(self) -> None:
        self.weight = 0.0
        self.hours = vec[float]([0.0] * HOURS)
        self.days = vec[float]([0.0] * DAYS)

    def learn(self, hour: float, day: int, limit: float, vote: float = 1.0) -> None:
        """Count one event at ``hour`` in [0, 24) on ``day``; see :func:`clock`. Events of one
        burst are one decision to work: of those, ``vote`` is the part that one event has."""
        if self.weight >= limit:
            self.weight /= 2
            self.hours = vec[float]([count / 2 for count in self.hours])
            self.days = vec[float]([count / 2 for count in self.days])
        self.weight += vote
        self.days[day] += vote
        hours = self.hours
        quarters = int(hour * QUARTERS)
        index: i64 = (quarters // QUARTERS - NEAR_HOURS + 1) % HOURS
        for share in _NEAR[quarters % QUARTERS]:
            hours[index] += share * vote
            index = index + 1 if index < HOURS - 1 else 0

    def bits(self, hour: float, day: int, prior: Rhythm, as_rare: float) -> tuple[float, float]:
        """How much rarer this time of day is for this owner than every other event, and how much
        rarer this day of the week than chance, in bits >= 0; ``as_rare`` of the prior."""
        total = self.weight + PRIOR_EVENTS
        share = (self.weight * self.as_rare(hour) + PRIOR_EVENTS * as_rare) / total
        pseudo = PRIOR_EVENTS * ((prior.days[day] + 1.0 / DAYS) / (prior.weight + 1.0))
        day_times = (self.days[day] + pseudo) / total * DAYS
        return (
            -log2(2.0 * share) if share < 0.5 else 0.0,
            -log2(day_times) if day_times < 1.0 else 0.0,
        )

    def as_rare(self, hour: float) -> float:
        """The share of the events at hours of the day that are as rare as this one or rarer: small
        for 3 am of whom works 9 to 5, not for one of the many hours of whom works at all hours."""
        hours = self.hours
        left: i64 = int(hour)
        part = hour - float(left)
        level = hours[left] * (1 - part) + hours[(left + 1) % HOURS] * part
        rarer = 0.0
        for count in hours:
            if count <= level:
                rarer += count
        return (rarer + 1.0) / (self.weight + 1.0)


@final
@mypyc_attr(acyclic=True)
class Places:
    """The few places where a user usually is: (latitude, longitude, weight) each."""

    __slots__ = ("known",)

    def __init__(self, known: list[tuple[float, float, float]] | None = None) -> None:
        self.known: list[tuple[float, float, float]] = known or []

    def distance_km(self, latitude: float, longitude: float) -> float:
        """Distance to the nearest usual place beyond geolocation error, km; 0 if none is known."""
        nearest = inf
        for lat, lon, _ in self.known:
            north = abs(lat - latitude)
            if north < NEAR_DEG and abs(lon - longitude) < NEAR_DEG:
                return 0.0
            if north * LEAST_DEGREE_KM < nearest:
                nearest = min(nearest, distance_km(latitude, longitude, lat, lon))
        return beyond_accuracy_km(nearest) if self.known else 0.0

    def learn(self, latitude: float, longitude: float, most: int) -> None:
        for index, (lat, lon, weight) in enumerate(self.known):
            if _is_same(latitude, longitude, lat, lon):
                self.known[index] = (lat, lon, weight + 1.0)
                return
        if len(self.known) >= most:
            self.known.remove(min(self.known, key=lambda place: place[2]))
        self.known.append((latitude, longitude, 1.0))


def _is_same(latitude: float, longitude: float, lat: float, lon: float) -> bool:
    """Whether two places are nearer than SAME_PLACE_KM, rarely by way of the sphere."""
    north = abs(lat - latitude)
    if north * LEAST_DEGREE_KM >= SAME_PLACE_KM:
        return False
    if north < NEAR_DEG and abs(lon - longitude) < NEAR_DEG:
        return True
    return distance_km(latitude, longitude, lat, lon) < SAME_PLACE_KM


def clock(at_s: float) -> tuple[float, int]:
    """Hour of the day in [0, 24) and day of the week, Monday 0, in UTC.

    >>> clock(0.0)  # 1970-01-01, a Thursday
    (0.0, 3)
    """
    return at_s % 86400.0 / 3600.0, (int(at_s // 86400.0) + 3) % DAYS
