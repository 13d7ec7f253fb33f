"""What is usual: small learned summaries of one user, one address or the whole tenant.

Everything here is a msgspec struct, so that a snapshot is one encode and holds no code. All
summaries forget by halving: once a summary weighs more than its limit, every count is halved and
what falls below one half is dropped. That bounds memory and makes the baseline the last few
hundred events rather than all time.
"""

from __future__ import annotations

from math import exp, log2, sqrt

import msgspec

from preprocessing.geo import beyond_accuracy_km, distance_km

HOURS = 24
DAYS = 7

#: Pseudo-events of what the tenant shows, mixed into every user's rates: a user with fewer events
#: than this is judged mostly by the tenant, later by their own.
PRIOR_EVENTS = 4.0

#: Two places nearer than this are one place of a user, km.
SAME_PLACE_KM = 50.0


class Decaying(msgspec.Struct, array_like=True, gc=False):
    """A count whose past fades exponentially: value at ``at_s``, seconds since the epoch."""

    value: float = 0.0
    at_s: float = 0.0

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


class Categories(msgspec.Struct, array_like=True, gc=False):
    """How often each value of one field was seen, and how often a value was seen first.

    ``weight`` is the sum of ``counts``; ``firsts`` counts the events that brought a new value.
    """

    counts: dict[str, float] = {}
    weight: float = 0.0
    firsts: float = 0.0

    def bits(self, value: str, first_rate: float) -> float:
        """How much rarer ``value`` is than this owner's average value, in bits >= 0.

        A known value is compared with the mean count per value. A new one costs
        ``-log2 P(new)``, where P(new) is the Good-Turing share of first sightings (Good 1953)
        with PRIOR_EVENTS pseudo-events at ``first_rate``, the same rate over the whole tenant.
        """
        count = self.counts.get(value)
        if count is None:
            firsts = self.firsts + PRIOR_EVENTS * first_rate
            return log2((self.weight + PRIOR_EVENTS) / firsts)
        mean = self.weight / len(self.counts)
        return log2(mean / count) if count < mean else 0.0

    def learn(self, value: str, limit: float, most_values: int) -> bool:
        """Count one sighting; True if it was the first."""
        first = value not in self.counts
        self.counts[value] = self.counts.get(value, 0.0) + 1.0
        self.weight += 1.0
        if first:
            self.firsts += 1.0
        if self.weight > limit or len(self.counts) > most_values:
            self._halve(most_values)
        return first

    def first_rate(self) -> float:
        """Share of events that brought a value never seen before, in (0, 1]."""
        return (self.firsts + 1.0) / (self.weight + 2.0)

    def top(self) -> tuple[str, float] | None:
        """The most frequent value and its count, or None while nothing was learned."""
        if not self.counts:
            return None
        value = max(self.counts, key=self.counts.__getitem__)
        return value, self.counts[value]

    def _halve(self, most_values: int) -> None:
        kept = {value: count / 2 for value, count in self.counts.items() if count >= 1.0}
        if len(kept) > most_values:
            names = sorted(kept, key=kept.__getitem__)[-most_values // 2 :]
            kept = {value: kept[value] for value in names}
        self.counts = kept
        self.weight = sum(kept.values())
        self.firsts /= 2


class Scale(msgspec.Struct, array_like=True, gc=False):
    """Running mean and spread of a log-scaled amount (Welford 1962)."""

    weight: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def learn(self, value: float, limit: float) -> None:
        if self.weight >= limit:
            self.weight /= 2
            self.squares /= 2
        self.weight += 1.0
        delta = value - self.mean
        self.mean += delta / self.weight
        self.squares += delta * (value - self.mean)

    def deviations(self, value: float, prior: Scale, least_spread: float) -> float:
        """Standard deviations of ``value`` above the mean, >= 0, shrunk towards ``prior``."""
        total = self.weight + PRIOR_EVENTS
        prior_mean = prior.mean if prior.weight else value
        prior_variance = prior.squares / prior.weight if prior.weight else 0.0
        mean = (self.mean * self.weight + prior_mean * PRIOR_EVENTS) / total
        variance = (self.squares + prior_variance * PRIOR_EVENTS) / total
        return max(0.0, value - mean) / max(sqrt(variance), least_spread)


class Rhythm(msgspec.Struct, array_like=True, gc=False):
    """When somebody is active: smoothed counts by hour of the day and by day of the week (UTC)."""

    weight: float = 0.0
    hours: list[float] = msgspec.field(default_factory=lambda: [0.0] * HOURS)
    days: list[float] = msgspec.field(default_factory=lambda: [0.0] * DAYS)

    def learn(self, at_s: float, limit: float) -> None:
        if self.weight >= limit:
            self.weight /= 2
            self.hours = [count / 2 for count in self.hours]
            self.days = [count / 2 for count in self.days]
        self.weight += 1.0
        hour, day = clock(at_s)
        left = int(hour)
        right_share = hour - left
        # A triangle of three hours' half width: 9:05 and 9:55 belong to the same habit.
        for offset, share in ((-1, 1 - right_share), (0, 2 - right_share), (1, 1 + right_share)):
            self.hours[(left + offset) % HOURS] += share / 4
        self.hours[(left + 2) % HOURS] += right_share / 4
        self.days[day] += 1.0

    def hour_bits(self, at_s: float, prior: Rhythm) -> float:
        """How much rarer this time of day is for this owner than chance, in bits >= 0."""
        hour, _ = clock(at_s)
        mine = _at_hour(self.hours, hour)
        prior_share = (_at_hour(prior.hours, hour) + 1.0 / HOURS) / (prior.weight + 1.0)
        share = (mine + PRIOR_EVENTS * prior_share) / (self.weight + PRIOR_EVENTS)
        return max(0.0, -log2(share * HOURS))

    def day_bits(self, at_s: float, prior: Rhythm) -> float:
        """How much rarer this day of the week is for this owner than chance, in bits >= 0."""
        _, day = clock(at_s)
        prior_share = (prior.days[day] + 1.0 / DAYS) / (prior.weight + 1.0)
        share = (self.days[day] + PRIOR_EVENTS * prior_share) / (self.weight + PRIOR_EVENTS)
        return max(0.0, -log2(share * DAYS))


class Place(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a user was seen: degrees, seconds since the epoch, and what an analyst reads."""

    latitude: float
    longitude: float
    at_s: float
    city: str | None = None
    country: str | None = None
    source_ip: str | None = None
    device_id: str | None = None


class Places(msgspec.Struct, array_like=True, gc=False):
    """The few places where a user usually is: (latitude, longitude, weight) each."""

    known: list[tuple[float, float, float]] = []

    def distance_km(self, latitude: float, longitude: float) -> float:
        """Distance to the nearest usual place beyond geolocation error, km; 0 if none is known."""
        nearest = min(
            (distance_km(latitude, longitude, lat, lon) for lat, lon, _ in self.known),
            default=0.0,
        )
        return beyond_accuracy_km(nearest)

    def learn(self, latitude: float, longitude: float, most: int) -> None:
        for index, (lat, lon, weight) in enumerate(self.known):
            same = lat == latitude and lon == longitude
            if same or distance_km(latitude, longitude, lat, lon) < SAME_PLACE_KM:
                self.known[index] = (lat, lon, weight + 1.0)
                return
        if len(self.known) >= most:
            self.known.remove(min(self.known, key=lambda place: place[2]))
        self.known.append((latitude, longitude, 1.0))


def clock(at_s: float) -> tuple[float, int]:
    """Hour of the day in [0, 24) and day of the week, Monday 0, in UTC.

    >>> clock(0.0)  # 1970-01-01, a Thursday
    (0.0, 3)
    """
    days, seconds = divmod(at_s, 86400.0)
    return seconds / 3600.0, (int(days) + 3) % DAYS


def _at_hour(hours: list[float], hour: float) -> float:
    left = int(hour)
    share = hour - left
    return hours[left] * (1 - share) + hours[(left + 1) % HOURS] * share
