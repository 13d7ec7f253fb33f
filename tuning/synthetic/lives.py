"""What happens to people over a month and a half: joining, leaving, holidays, new devices, VPNs.

Shares are set so that a set of 50,000 events (some 330 users) has each at least 30 times.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tuning.synthetic.devices import LAPTOPS, PHONES, Device, make_device
from tuning.synthetic.people import User
from tuning.synthetic.world import World

JOINS = 0.08  # beside the few who join in every scenario
LEAVES = 0.05  # the account stays, as accounts do
ON_LEAVE = 0.14
REPLACES_PHONE = 0.16
REPLACES_LAPTOP = 0.1
USES_TUNNEL = 0.14
MIN_DAYS = 21  # a shorter period has no room for absences


def settled(rng: random.Random, world: World) -> World:
    """The world with what befalls its people within the period; depends on `rng` alone."""
    days = world.period.days
    phases = (replace(p, users=_lived(rng, p.users, days)) for p in world.phases)
    return replace(world, phases=tuple(phases))


def _lived(rng: random.Random, users: Sequence[User], days: int) -> tuple[User, ...]:
    return tuple(_live(rng, user, days) for user in users)


def _live(rng: random.Random, user: User, days: int) -> User:
    fate = rng.random()
    if days >= MIN_DAYS:
        if fate < JOINS:
            user = replace(user, first_day=rng.randrange(6, days - 5))
        elif fate < JOINS + LEAVES:
            user = replace(user, absences=((rng.randrange(3, days // 3), days),))
        elif fate < JOINS + LEAVES + ON_LEAVE:
            user = replace(user, absences=(_leave(rng, days),))
    if rng.random() < USES_TUNNEL:
        user = replace(user, tunnel_share=min(0.6, rng.expovariate(4.0) + 0.05))
    return replace(user, devices=_replaced(rng, user, days))


def _leave(rng: random.Random, days: int) -> tuple[int, int]:
    """Ten days to three and a half weeks, with days of work before and after."""
    first = rng.randrange(3, days - 14)
    return first, min(days - 3, first + rng.randrange(10, 25))


def _replaced(rng: random.Random, user: User, days: int) -> tuple[Device, ...]:
    """The devices, perhaps with one of them given up for a new one on some day."""
    out = list(user.devices)
    if len({device.first_day for device in out}) == 1:
        if rng.random() < REPLACES_LAPTOP:
            _replace(rng, out, days, phones=False)
        if rng.random() < REPLACES_PHONE / (1 - REPLACES_LAPTOP):
            _replace(rng, out, days, phones=True)
    return tuple(out)


def _replace(rng: random.Random, devices: list[Device], days: int, *, phones: bool) -> None:
    old = next((device for device in devices if device.is_phone is phones), None)
    if old is None or days < 8:
        return
    day = rng.randrange(4, days - 3)
    platforms = PHONES if phones else LAPTOPS
    if rng.random() < 0.7:  # most stay with what they know
        platforms = (old.platform,)
    devices[devices.index(old)] = replace(old, last_day=day)
    devices.append(make_device(rng, platforms, first_day=day))
