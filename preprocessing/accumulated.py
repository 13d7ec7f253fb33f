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
from typing import Final, final

from mypy_extensions import mypyc_attr

from preprocessing.baseline import PRIOR_EVENTS

DAY_S: Final = 86400.0
WEEK_S: Final = 7 * DAY_S
#: One unit of transferred bytes.
SIZE_UNIT: Final = 1000.0
#: The level of a sum of which nobody knows anything: nothing is above it.
UNKNOWN: Final = 64.0

#: What is summed, in this order, each over a day and then over a week.
SUMS: Final = ("new_day", "new_week", "bytes_day", "bytes_week")
Four = tuple[float, float, float, float]
NO_SUMS: Four = (0.0, 0.0, 0.0, 0.0)


@final
@mypyc_attr(acyclic=True)
class Sums:
    """Decaying sums of one user as of ``at_s``, in the order of SUMS: bits, then SIZE_UNITs."""

    __slots__ = ("at_s", "values")

    def __init__(self, at_s: float = 0.0, values: Four = NO_SUMS) -> None:
        self.at_s = at_s
        self.values = values

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


@final
@mypyc_attr(acyclic=True)
class Level:
    """What two sums of one thing usually are, over a day and a week: mean log2(1 + sum) at the
    ``weight`` events that added to them."""

    __slots__ = ("day", "week", "weight")

    def __init__(self, weight: float = 0.0, day: float = 0.0, week: float = 0.0) -> None:
        self.weight = weight
        self.day = day
        self.week = week

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
