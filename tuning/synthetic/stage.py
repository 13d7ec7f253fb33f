"""Where and when a benign oddity happens, and the ordinary things done meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tuning.synthetic.behaviour import (
    Period,
    Session,
    access,
    context,
    place_of,
    transfer,
    usual_bytes,
    usual_resource,
)
from tuning.synthetic.devices import Device
from tuning.synthetic.draft import Draft, Fields
from tuning.synthetic.people import DAY_S, User
from tuning.synthetic.world import Phase


@dataclass(frozen=True, slots=True)
class Stage:
    """Where and when an oddity may happen; `accounts` are the service accounts."""

    rng: random.Random
    phase: Phase
    period: Period
    accounts: tuple[str, ...]

    def is_away(self, user: User, day: int) -> bool:
        """Whether any part of a trip falls on the day or the night after it."""
        start = self.period.start + day * DAY_S
        end = start + 1.5 * DAY_S
        return any(trip.leaves < end and start < trip.home_again for trip in user.trips)


def works_on(user: User, day: int) -> bool:
    """Whether it is a working day of the user's, who is not absent and has a device."""
    working = day % 7 in user.rhythm.weekdays and not user.is_absent(day)
    return working and bool(user.in_use(day))


def free_day(stage: Stage, user: User) -> int | None:
    """A working day on which the user is neither away nor travelling, after the first few."""
    days = [
        day
        for day in range(max(2, stage.phase.first_day), stage.phase.last_day)
        if works_on(user, day) and not stage.is_away(user, day)
    ]
    return stage.rng.choice(days) if days else None


def wherever(stage: Stage, user: User, at: float, day: int, device: Device | None = None) -> Fields:
    """The fields of a session, wherever the user happens to be at that time."""
    rng = stage.rng
    device = device or rng.choice(user.in_use(day))
    at_office = rng.random() < 0.6
    place = place_of(rng, stage.phase.organisation, user, device, at, day, at_office=at_office)
    return context(user, device, place or user.household(day), day, rng)


def morning(stage: Stage, user: User, day: int) -> float:
    """A moment soon after the user begins to work."""
    return stage.period.moment(user, day, user.rhythm.start_h + stage.rng.expovariate(1.5))


def work(stage: Stage, user: User, base: Fields, at: float, most: int) -> Session:
    """Up to `most` ordinary things after a sign-in."""
    rng = stage.rng
    out = []
    for _ in range(rng.randrange(most + 1)):
        at += rng.lognormvariate(5.6, 1.0)
        out.append(access(rng, user, base, at, usual_resource(rng, user), "success"))
    return out


def fetch(rng: random.Random, user: User, base: Fields, at: float, resource: str) -> Draft:
    """Opening a resource, or moving a usual amount of data."""
    if rng.random() < 0.3:
        return transfer(user, base, at, resource, usual_bytes(rng, user))
    return access(rng, user, base, at, resource, "success")
