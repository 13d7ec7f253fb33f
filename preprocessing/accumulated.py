"""Evidence summed over time: what is a little odd once is telling when it goes on.

Two things of a user are summed, fading over a day and over a week: the bits by which resources were
new to the user (*new*), and transferred bytes. Sums are activity: recorded the moment an event is
observed, flagged or not. What they usually amount to is learned of ordinary events, for each user
and for the tenant.

Sums speak only of events that add to them: after a theft the user's next ordinary login is as
ordinary as ever.
"""

from __future__ import annotations

from math import exp, log2

import msgspec

from preprocessing.baseline import PRIOR_EVENTS

DAY_S = 86400.0
WEEK_S = 7 * DAY_S
#: One unit of transferred bytes.
SIZE_UNIT = 1000.0
#: The level of a sum of which nobody knows anything: nothing is above it.
UNKNOWN = 64.0

#: Addresses remembered of an unproven device.
MOST_ADDRESSES = 8

#: What is summed, in this order, each over a day and then over a week.
SUMS = ("new_day", "new_week", "bytes_day", "bytes_week")
Four = tuple[float, float, float, float]
NO_SUMS: Four = (0.0, 0.0, 0.0, 0.0)


class Sums(msgspec.Struct, array_like=True, gc=False):
    """Decaying sums of one user as of ``at_s``, in the order of SUMS: bits, then SIZE_UNITs."""

    at_s: float = 0.0
    values: Four = NO_SUMS

    def read(self, at_s: float) -> Four:
        """The sums as of ``at_s``; a reading in the past is the newest known one."""
        age_s = at_s - self.at_s
        if age_s <= 0:
            return self.values
        day, week = exp(-age_s / DAY_S), exp(-age_s / WEEK_S)
        new_day, new_week, bytes_day, bytes_week = self.values
        return new_day * day, new_week * week, bytes_day * day, bytes_week * week

    def add(self, at_s: float, new: float, size: float) -> Four:
        """Add what happened at ``at_s`` and return the sums; late amounts count in full."""
        new_day, new_week, bytes_day, bytes_week = self.read(at_s)
        self.at_s = max(self.at_s, at_s)
        self.values = (new_day + new, new_week + new, bytes_day + size, bytes_week + size)
        return self.values


class Unproven(msgspec.Struct, array_like=True, gc=False):
    """A device that nobody has vouched for (preprocessing/unproven.py).

    First seen at ``since_s``, after ``silence_s`` without a success of its user. ``sums`` fade over
    a week, as of ``at_s``: bits of strange hours, bits of new resources, deviations of transferred
    bytes, and events. ``addresses`` are those it came from.
    """

    since_s: float
    silence_s: float
    at_s: float
    sums: Four = NO_SUMS
    addresses: tuple[str, ...] = ()

    def then(self, at_s: float, added: Four, address: str | None) -> Unproven:
        """The same after one more event; late ones count in full."""
        left = exp(-max(0.0, at_s - self.at_s) / WEEK_S)
        hours, new, sizes, events = self.sums
        addresses = self.addresses
        if address is not None and address not in addresses:
            addresses = (*addresses, address)[-MOST_ADDRESSES:]
        return Unproven(
            self.since_s,
            self.silence_s,
            max(self.at_s, at_s),
            (
                hours * left + added[0],
                new * left + added[1],
                sizes * left + added[2],
                events * left + added[3],
            ),
            addresses,
        )


class Level(msgspec.Struct, array_like=True, gc=False):
    """What two sums of one thing usually are, over a day and a week: mean log2(1 + sum) at the
    ``weight`` events that added to them."""

    weight: float = 0.0
    day: float = 0.0
    week: float = 0.0

    def learn(self, day: float, week: float, limit: float) -> None:
        weight = self.weight = min(limit, self.weight + 1.0)
        self.day += (log2(1.0 + day) - self.day) / weight
        self.week += (log2(1.0 + week) - self.week) / weight

    def usual(self, prior: Level) -> tuple[float, float]:
        """Usual levels of one user, shrunk towards those of the tenant."""
        if not prior.weight:
            return UNKNOWN, UNKNOWN
        mine = self.weight / (self.weight + PRIOR_EVENTS)
        return (
            prior.day + (self.day - prior.day) * mine,
            prior.week + (self.week - prior.week) * mine,
        )
