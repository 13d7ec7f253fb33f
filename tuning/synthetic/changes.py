"""Benign drift: from one day on the company is another one, and nobody did anything wrong.

An office moves and another opens, the VPN gets new exits, every browser is updated and a fifth of
the people change departments, so that peer groups move.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from preprocessing.geo import distance_km
from tuning.synthetic import causes
from tuning.synthetic.draft import Draft
from tuning.synthetic.geography import City, city_named, fixed_networks, place_in
from tuning.synthetic.organisation import COMPANY_WIDE, DEPARTMENTS, Office, Organisation
from tuning.synthetic.people import User, habits
from tuning.synthetic.world import Change, Phase, World

NEW_OFFICES = ("Amsterdam", "Chicago", "Tokyo", "Madrid")
NEW_EXITS = ("Dublin", "Seattle")
COMMUTE_KM = 600.0  # remote people this near to the new office start to work there
MORE_ON_VPN = 0.15
REORGANISED = 0.2
CAUSE_DAYS = 7
UPDATE_DAYS = 3


def changed(rng: random.Random, world: World, day: int) -> World:
    """The world with a second phase that begins on `day`; depends on `rng` alone."""
    before = world.phases[0]
    organisation, users = _offices(rng, before.organisation, before.users)
    organisation, users = _vpn(rng, organisation, users)
    users = tuple(_updated(rng, user, day) for user in users)
    users = tuple(_moved(rng, user) if rng.random() < REORGANISED else user for user in users)
    after = Phase(organisation, users, day, before.last_day)
    phases = (replace(before, last_day=day), after)
    return replace(world, phases=phases, changes=_told(before.users, users, day))


def _offices(
    rng: random.Random, organisation: Organisation, users: tuple[User, ...]
) -> tuple[Organisation, tuple[User, ...]]:
    """The largest office gets another address and provider; a new one opens for remote people."""
    opened = _new_office(rng, users)
    sizes = Counter(user.office for user in users if user.office is not None)
    old = max(organisation.offices, key=lambda office: sizes[office])
    networks = [n for n in fixed_networks(old.city) if n.asn != old.egress.asn]
    network = rng.choice(networks or fixed_networks(old.city))
    new = Office(old.city, place_in(old.city, network, rng.randrange(65536)))
    people = []
    for user in users:
        office = new if user.office == old else user.office or _near(user, opened)
        people.append(replace(user, office=office))
    offices = tuple(new if office == old else office for office in organisation.offices)
    return replace(organisation, offices=(*offices, opened)), tuple(people)


def _new_office(rng: random.Random, users: tuple[User, ...]) -> Office:
    """In the one of the candidate cities that most remote people can reach."""
    remote = [user.home for user in users if user.office is None]
    city = max(
        map(city_named, NEW_OFFICES),
        key=lambda city: sum(_km(home, city) < COMMUTE_KM for home in remote),
    )
    return Office(city, place_in(city, rng.choice(fixed_networks(city)), rng.randrange(65536)))


def _near(user: User, office: Office) -> Office | None:
    return office if _km(user.home, office.city) < COMMUTE_KM else None


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
        elif draft.fields.get("source_ip") in offices:
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
