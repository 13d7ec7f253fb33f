"""Benign drift: from one day on the company is another one, and nobody did anything wrong.

An office moves and another opens, the VPN gets new exits, every browser is updated and a fifth of
the people change departments, so that peer groups move.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from preprocessing.geo import distance_km
from tuning.synthetic import causes
from tuning.synthetic.draft import Draft
from tuning.synthetic.geography import City, city_named, fixed_networks, place_in
from tuning.synthetic.organisation import COMPANY_WIDE, DEPARTMENTS, Office, Organisation
from tuning.synthetic.people import User, habits, hubs
from tuning.synthetic.world import Change, Phase, World

NEW_OFFICES = ("Amsterdam", "Chicago", "Tokyo", "Madrid")
NEW_EXITS = ("Dublin", "Seattle")
MOVE_KM = 1_500.0  # remote people no farther than this may move house for the new office
MOVERS = 0.06  # of all people, at most
MORE_ON_VPN = 0.15
REORGANISED = 0.2
CAUSE_DAYS = 7
UPDATE_DAYS = 3


def changed(rng: random.Random, world: World, day: int) -> World:
    """The world with a second phase that begins on `day`; depends on `rng` alone."""
    before = world.phases[0]
    organisation, users = _relocated(rng, before.organisation, before.users)
    organisation, users = _opened(rng, organisation, users)
    organisation, users = _vpn(rng, organisation, users)
    users = tuple(_updated(rng, user, day) for user in users)
    users = tuple(_moved(rng, user) if rng.random() < REORGANISED else user for user in users)
    after = Phase(organisation, users, day, before.last_day)
    changes = _told(before.users, users, day)
    packing = tuple(map(partial(_packing, day), before.users, users))
    return replace(
        world, phases=(replace(before, users=packing, last_day=day), after), changes=changes
    )


def _relocated(
    rng: random.Random, organisation: Organisation, users: tuple[User, ...]
) -> tuple[Organisation, tuple[User, ...]]:
    """The largest office moves within its city: another address, another provider if there is."""
    sizes = Counter(user.office for user in users if user.office is not None)
    old = max(organisation.offices, key=lambda office: sizes[office])
    networks = [n for n in fixed_networks(old.city) if n.asn != old.egress.asn]
    network = rng.choice(networks or fixed_networks(old.city))
    new = Office(old.city, place_in(old.city, network, rng.randrange(65536)))
    offices = tuple(new if office == old else office for office in organisation.offices)
    people = (replace(user, office=new) if user.office == old else user for user in users)
    return replace(organisation, offices=offices), tuple(people)


def _opened(
    rng: random.Random, organisation: Organisation, users: tuple[User, ...]
) -> tuple[Organisation, tuple[User, ...]]:
    """An office where most remote people live near; some of them move house for it."""
    remote = {user.user_id for user in users if user.office is None and not user.trips}
    city = max(
        map(city_named, NEW_OFFICES),
        key=lambda city: sum(_km(u.home, city) < MOVE_KM for u in users if u.user_id in remote),
    )
    office = Office(city, place_in(city, rng.choice(fixed_networks(city)), rng.randrange(65536)))
    near = [u.user_id for u in users if u.user_id in remote and _km(u.home, city) < MOVE_KM]
    movers = set(rng.sample(near, min(len(near), round(MOVERS * len(users)))))
    people = (_rehoused(rng, u, office) if u.user_id in movers else u for u in users)
    return replace(organisation, offices=(*organisation.offices, office)), tuple(people)


def _rehoused(rng: random.Random, user: User, office: Office) -> User:
    city = office.city
    network = rng.choice(fixed_networks(city))
    return replace(user, home=city, network=network, hubs=hubs(rng, city), office=office)


def _packing(day: int, old: User, new: User) -> User:
    """Who moves house does nothing else on the two days before."""
    if old.home == new.home:
        return old
    return replace(old, absences=(*old.absences, (day - 2, day)))


def _km(a: City, b: City) -> float:
    return distance_km(a.latitude, a.longitude, b.latitude, b.longitude)


def _vpn(
    rng: random.Random, organisation: Organisation, users: tuple[User, ...]
) -> tuple[Organisation, tuple[User, ...]]:
    """All VPN exits are replaced, and some more people are sent through them."""
    exits = tuple(
        place_in(city, rng.choice(fixed_networks(city)), rng.randrange(65536))
        for city in map(city_named, NEW_EXITS)
    )
    people = tuple(
        replace(user, vpn_share=max(user.vpn_share, rng.uniform(0.15, 0.4)))
        if rng.random() < MORE_ON_VPN
        else user
        for user in users
    )
    return replace(organisation, vpn_exits=exits), people


def _updated(rng: random.Random, user: User, day: int) -> User:
    """Every computer gets the next browser on the day or the one after."""
    devices = tuple(
        device if device.is_phone else replace(device, update_day=day + rng.randrange(2))
        for device in user.devices
    )
    return replace(user, devices=devices)


def _moved(rng: random.Random, user: User) -> User:
    """Into another department: its resources, and what the whole company uses as before."""
    department = rng.choice([name for name in DEPARTMENTS if name != user.department])
    resources, _ = habits(rng, department)
    kept = [name for name in user.resources if name in COMPANY_WIDE]
    own = [name for name in resources if name not in COMPANY_WIDE]
    rng.shuffle(own)
    chosen = tuple(own + kept)
    ranks = tuple(1.0 / (rank + 1.5) for rank in range(len(chosen)))
    return replace(
        user,
        department=department,
        resources=chosen,
        resource_weights=ranks,
        month_end=department == "finance",
    )


def _told(before: tuple[User, ...], after: tuple[User, ...], day: int) -> tuple[Change, ...]:
    pairs = list(zip(before, after, strict=True))
    moved = sum(old.office != new.office for old, new in pairs)
    vpn = sum(new.vpn_share > 0 for _, new in pairs)
    reorganised = sum(old.department != new.department for old, new in pairs)
    return (
        Change(causes.OFFICE_MOVE, day, moved),
        Change(causes.NEW_VPN, day, vpn),
        Change(causes.BROWSER_UPDATE, day, len(pairs)),
        Change(causes.REORGANISATION, day, reorganised),
    )


def explain(world: World, drafts: Iterable[Draft]) -> None:
    """Give the ordinary events of the first days after the change its cause, where it shows."""
    if len(world.phases) == 1:
        return
    before, after = world.phases
    old = {user.user_id: user for user in before.users}
    new = {user.user_id: user for user in after.users}
    offices = {office.egress.ip for office in after.organisation.offices}
    offices -= {office.egress.ip for office in before.organisation.offices}
    exits = {place.ip for place in after.organisation.vpn_exits}
    for draft in drafts:
        days = world.period.day_of(draft.at) - after.first_day
        user = new.get(draft.user_id)
        if user is None or not 0 <= days < CAUSE_DAYS:
            continue
        if _foreign_before(draft, old[draft.user_id], user):
            draft.cause = causes.REORGANISATION
        elif draft.fields.get("source_ip") in offices or old[user.user_id].home != user.home:
            draft.cause = causes.OFFICE_MOVE
        elif draft.fields.get("source_ip") in exits:
            draft.cause = causes.NEW_VPN
        elif not draft.cause and days < UPDATE_DAYS and _is_updated(draft, user):
            draft.cause = causes.BROWSER_UPDATE


def _foreign_before(draft: Draft, old: User, new: User) -> bool:
    resource = draft.fields.get("resource")
    return old.department != new.department and resource in set(new.resources) - set(old.resources)


def _is_updated(draft: Draft, user: User) -> bool:
    return any(
        device.device_id == draft.fields.get("device_id") and not device.is_phone
        for device in user.devices
    )
