"""Benign oddities: ordinary people doing what looks like an attack and is none.

Every function gives the events of one occurrence, or none when it does not suit the user. Most
have a counterpart among the campaigns: that is what makes telling them apart worth something.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tuning.synthetic import causes
from tuning.synthetic.behaviour import (
    Period,
    Session,
    access,
    context,
    explained,
    factor_change,
    login,
    place_of,
    second_factor,
    suitable_resources,
    transfer,
    usual_bytes,
    usual_resource,
)
from tuning.synthetic.devices import Device
from tuning.synthetic.draft import Draft, Fields, place_fields
from tuning.synthetic.organisation import DEPARTMENTS, PRIVILEGED, PROJECTS
from tuning.synthetic.people import DAY_S, HOUR_S, User
from tuning.synthetic.world import Phase, World


@dataclass(frozen=True, slots=True)
class Stage:
    """Where and when an oddity may happen; `accounts` are the service accounts."""

    rng: random.Random
    phase: Phase
    period: Period
    accounts: tuple[str, ...]


Oddity = Callable[[Stage, User], Session]


def works_on(user: User, day: int) -> bool:
    """Whether it is a working day of the user's, who is not absent and has a device."""
    working = day % 7 in user.rhythm.weekdays and not user.is_absent(day)
    return working and bool(user.in_use(day))


def _free_day(stage: Stage, user: User) -> int | None:
    """A working day on which the user is neither away nor travelling, after the first few."""
    days = [
        day
        for day in range(max(2, stage.phase.first_day), stage.phase.last_day)
        if works_on(user, day) and user.trip_at(stage.period.moment(user, day, 12)) is None
    ]
    return stage.rng.choice(days) if days else None


def _base(stage: Stage, user: User, at: float, day: int, device: Device | None = None) -> Fields:
    """The shared fields of a session wherever the user happens to be at that time."""
    rng = stage.rng
    device = device or rng.choice(user.in_use(day))
    at_office = rng.random() < 0.6
    place = place_of(rng, stage.phase.organisation, user, device, at, day, at_office=at_office)
    return context(user, device, place or user.household(day), day, rng)


def _morning(stage: Stage, user: User, day: int) -> float:
    return stage.period.moment(user, day, user.rhythm.start_h + stage.rng.expovariate(1.5))


def forgotten_password(stage: Stage, user: User) -> Session:
    """Guessing one's own password, then resetting it or asking the help desk."""
    rng = stage.rng
    day = _free_day(stage, user)
    if day is None:
        return []
    at = _morning(stage, user, day)
    base = _base(stage, user, at, day) | {"auth_method": "password"}
    out = []
    for _ in range(rng.randrange(4, 12)):
        out.append(login(user, base, at, "failure", "sso-portal"))
        at += rng.lognormvariate(3.2, 0.9)
    if rng.random() < 0.6:
        out.append(second_factor(user, base, at + 60, "success"))
        at += rng.uniform(120, 900)
    else:
        at += rng.uniform(0.3, 3) * HOUR_S
    out.append(login(user, base, at, "success", "sso-portal"))
    return explained(out + _work(stage, user, base, at, 2), causes.FORGOTTEN_PASSWORD)


def _work(stage: Stage, user: User, base: Fields, at: float, most: int) -> Session:
    """Up to `most` ordinary things after a sign-in."""
    rng = stage.rng
    out = []
    for _ in range(rng.randrange(most + 1)):
        at += rng.lognormvariate(5.6, 1.0)
        out.append(access(rng, user, base, at, usual_resource(rng, user), "success"))
    return out


def month_end(stage: Stage, user: User) -> Session:
    """The books are closed: long evenings and several times the usual data."""
    rng = stage.rng
    out: Session = []
    for day in range(stage.phase.first_day, stage.phase.last_day):
        if not (user.month_end and stage.period.closes_books(day) and works_on(user, day)):
            continue
        at = stage.period.moment(user, day, user.rhythm.end_h - 1 + rng.uniform(0, 4))
        if user.trip_at(at):
            continue
        base = _base(stage, user, at, day)
        out.append(login(user, base, at, "success", "sso-portal"))
        for _ in range(rng.randrange(2, 6)):
            at += rng.lognormvariate(5.2, 0.8)
            size = usual_bytes(rng, user, boost=rng.uniform(0.5, 2.0))
            out.append(transfer(user, base, at, usual_resource(rng, user), size))
    return explained(out, causes.MONTH_END)


def new_phone(stage: Stage, user: User) -> Session:
    """The second factor is reset, enrolled again on the new phone, and every app signs in."""
    rng = stage.rng
    phone = next((d for d in user.devices if d.is_phone and d.first_day >= 0), None)
    if phone is None or not stage.phase.first_day <= phone.first_day < stage.phase.last_day:
        return []
    day = phone.first_day
    at = _morning(stage, user, day)
    if user.is_absent(day) or user.trip_at(at):
        return []
    old = next((d for d in user.in_use(day) if d is not phone), phone)
    out = factor_change(rng, user, _base(stage, user, at, day, old), at)
    at = out[-1].at + rng.uniform(60, 1800)
    base = _base(stage, user, at, day, phone)
    out.append(second_factor(user, base, at, "success"))
    for _ in range(rng.randrange(1, 5)):
        at += rng.lognormvariate(4.6, 0.9)
        out.append(login(user, base, at, "success", usual_resource(rng, user)))
    return explained(out, causes.NEW_PHONE)


def stale_phone(stage: Stage, user: User) -> Session:
    """A password was changed and the phone keeps offering the old one, at regular intervals."""
    rng = stage.rng
    day = _free_day(stage, user)
    phone = next((d for d in user.in_use(day or 0) if d.is_phone), None)
    if day is None or phone is None:
        return []
    at = _morning(stage, user, day)
    every_s = rng.choice((300.0, 600.0, 900.0, 1800.0, 3600.0))
    kind: Fields = {"auth_kind": "token", "auth_method": "token"}
    if rng.random() < 0.4:
        kind = {"auth_kind": "interactive", "auth_method": "password"}
    out = []
    for attempt in range(rng.randrange(6, 30) + 1):
        place = user.on_mobile(rng) if rng.random() < 0.5 else user.household(day)
        base = context(user, phone, place, day, rng) | kind
        out.append(login(user, base, at, "failure", "mail"))
        at += every_s * rng.uniform(0.97, 1.1) + attempt
    out[-1] = login(user, base, at, "success", "mail")
    return explained(out, causes.STALE_PHONE)


def service_admin(stage: Stage, user: User) -> Session:
    """An administrator signs in as a service account for planned work, always for the same ones."""
    rng = stage.rng
    day = _free_day(stage, user)
    if day is None or user.department not in {"operations", "engineering"} or not stage.accounts:
        return []
    account = replace(user, user_id=stage.accounts[user.salt % len(stage.accounts)])
    at = _morning(stage, user, day) + rng.uniform(0, 6) * HOUR_S
    laptop = next((d for d in user.in_use(day) if not d.is_phone), None)
    base = _base(stage, user, at, day, laptop)
    base["auth_method"] = "key" if user.auth == "key" else "password"
    out = [login(account, base, at, "success", rng.choice(("bastion", "sso-portal")))]
    for _ in range(rng.randrange(2, 7)):
        at += rng.lognormvariate(5.2, 0.9)
        resource = rng.choice(("backup-vault", "dataset-lake", "ledger", "crm", *PRIVILEGED[:4]))
        out.append(access(rng, account, base, at, resource, "success"))
    return explained(out, causes.SERVICE_ADMIN)


def night_shift(stage: Stage, user: User) -> Session:
    """Somebody who works by day is on call for some nights of a week."""
    rng = stage.rng
    first = _free_day(stage, user)
    if first is None or user.rhythm.start_h > 15:
        return []
    out: Session = []
    for day in range(first, min(stage.phase.last_day, first + rng.randrange(1, 5))):
        at = stage.period.moment(user, day, rng.uniform(22.5, 28.5))
        if user.is_absent(day) or user.trip_at(at) or not user.in_use(day):
            break
        device = rng.choice(user.in_use(day))
        base = context(user, device, user.household(day), day, rng)
        out.append(login(user, base, at, "success", "sso-portal"))
        out += _work(stage, user, base, at, 5)
    return explained(out, causes.NIGHT_SHIFT)


def new_hire(stage: Stage, user: User) -> Session:
    """The first week: everything the department has is opened for the first time."""
    rng = stage.rng
    if not stage.phase.first_day <= user.first_day < stage.phase.last_day - 1:
        return []
    out: Session = []
    for day in range(user.first_day, min(stage.phase.last_day, user.first_day + 5)):
        at = _morning(stage, user, day)
        if not works_on(user, day) or user.trip_at(at):
            continue
        base = _base(stage, user, at, day)
        out.append(login(user, base, at, "success", "sso-portal"))
        for resource in rng.sample(suitable_resources(user), rng.randrange(2, 5)):
            at += rng.lognormvariate(5.4, 0.8)
            out.append(access(rng, user, base, at, resource, "success"))
    return explained(out, causes.NEW_HIRE)


def new_project(stage: Stage, user: User) -> Session:
    """Lent to another team for some days: its resources, some of them with data to fetch."""
    rng = stage.rng
    first = _free_day(stage, user)
    if first is None:
        return []
    team = rng.choice([name for name in DEPARTMENTS if name != user.department])
    pool = [name for name in DEPARTMENTS[team] if name not in user.resources]
    chosen = rng.sample(pool, min(len(pool), rng.randrange(1, 4)))
    chosen += rng.sample(PROJECTS, rng.randrange(1, 4))
    out: Session = []
    for day in range(first, min(stage.phase.last_day, first + rng.randrange(2, 9))):
        at = stage.period.moment(user, day, rng.uniform(user.rhythm.start_h, user.rhythm.end_h))
        if not works_on(user, day) or user.trip_at(at):
            continue
        base = _base(stage, user, at, day)
        out.append(login(user, base, at, "success", rng.choice(chosen)))
        for _ in range(rng.randrange(1, 4)):
            at += rng.lognormvariate(5.4, 0.9)
            out.append(_fetch(rng, user, base, at, rng.choice(chosen)))
    return explained(out, causes.NEW_PROJECT)


def _fetch(rng: random.Random, user: User, base: Fields, at: float, resource: str) -> Draft:
    if rng.random() < 0.3:
        return transfer(user, base, at, resource, usual_bytes(rng, user))
    return access(rng, user, base, at, resource, "success")


def deadline(stage: Stage, user: User) -> Session:
    """Late in the evening or on a free day, with large transfers of the user's own resources."""
    rng = stage.rng
    day = _free_day(stage, user)
    if day is None:
        return []
    at = stage.period.moment(user, day, user.rhythm.end_h + rng.uniform(1.5, 6))
    device = rng.choice(user.in_use(day))
    base = context(user, device, user.household(day), day, rng)
    out = [login(user, base, at, "success", usual_resource(rng, user))]
    for _ in range(rng.randrange(2, 6)):
        at += rng.lognormvariate(5.8, 0.8)
        size = usual_bytes(rng, user, boost=rng.uniform(0, 3) * user.log_bytes_sd)
        out.append(transfer(user, base, at, usual_resource(rng, user), size))
    return explained(out, causes.DEADLINE)


def roaming_session(stage: Stage, user: User) -> Session:
    """The lid is closed in one place and opened in another; the session goes on."""
    rng = stage.rng
    day = _free_day(stage, user)
    if day is None:
        return []
    at = _morning(stage, user, day) + rng.uniform(0, 5) * HOUR_S
    base = _base(stage, user, at, day)
    out = [login(user, base, at, "success", "sso-portal")]
    for _ in range(rng.randrange(1, 4)):
        at += rng.lognormvariate(8.0, 0.8)
        place = user.on_mobile(rng) if rng.random() < 0.6 else user.household(day)
        base = base | place_fields(place)
        for _ in range(rng.randrange(1, 3)):
            at += rng.lognormvariate(5.0, 0.9)
            out.append(_fetch(rng, user, base, at, usual_resource(rng, user)))
    return explained(out, causes.ROAMING_SESSION)


def app_sync(stage: Stage, user: User) -> Session:
    """Nothing odd at all: an app with a token of its own reads, and now and then moves, data."""
    rng = stage.rng
    out: Session = []
    for _ in range(rng.randrange(1, 6)):
        day = _free_day(stage, user)
        if day is None:
            break
        at = stage.period.start + (day + rng.random()) * DAY_S
        base = _base(stage, user, at, day) | {"auth_kind": "token", "auth_method": "token"}
        for _ in range(rng.randrange(1, 4)):
            at += rng.lognormvariate(4.0, 1.0)
            out.append(_fetch(rng, user, base, at, usual_resource(rng, user)))
    return out


# oddity and how many occurrences there are per user of the company
ODDITIES: tuple[tuple[Oddity, float], ...] = (
    (forgotten_password, 0.15),
    (month_end, 1.0),
    (new_phone, 1.0),
    (stale_phone, 0.11),
    (service_admin, 0.13),
    (night_shift, 0.08),
    (new_hire, 1.0),
    (new_project, 0.12),
    (deadline, 0.12),
    (roaming_session, 0.13),
    (app_sync, 0.8),
)


def oddities(rng: random.Random, world: World) -> list[Session]:
    """Every occurrence in the world, as many of each kind as its share of the users says."""
    accounts = tuple(world.service_accounts())
    out: list[Session] = []
    for phase in world.phases:
        stage = Stage(rng, phase, world.period, accounts)
        part = (phase.last_day - phase.first_day) / world.period.days
        for oddity, share in ODDITIES:
            want = round(share * part * len(phase.users)) if share < 1 else len(phase.users)
            out += _occurrences(stage, oddity, want)
        out += expiry_wave(stage)
    return out


def _occurrences(stage: Stage, oddity: Oddity, want: int) -> list[Session]:
    out: list[Session] = []
    for user in stage.rng.sample(stage.phase.users, len(stage.phase.users)):
        if len(out) == want:
            break
        session = oddity(stage, user)
        if session:
            out.append(session)
    return out


def expiry_wave(stage: Stage) -> list[Session]:
    """All passwords of an office expire: one morning many fail behind its one address."""
    rng = stage.rng
    out: list[Session] = []
    for office in stage.phase.organisation.offices:
        day = rng.randrange(max(2, stage.phase.first_day), stage.phase.last_day)
        for user in stage.phase.users:
            at = stage.period.moment(user, day, rng.gauss(9, 0.5))
            away = user.is_absent(day) or user.trip_at(at) or not user.in_use(day)
            usual = user.rhythm.hours_outside(user.local_hour(at)) < 1
            if user.office is not office or away or not usual or rng.random() > 0.7:
                continue
            device = rng.choice(user.in_use(day))
            base = context(user, device, office.egress, day, rng) | {"auth_method": "password"}
            out.append(_expired(rng, user, base, at))
    return out


def _expired(rng: random.Random, user: User, base: Fields, at: float) -> Session:
    out = []
    for _ in range(rng.randrange(1, 4)):
        out.append(login(user, base, at, "failure", "sso-portal"))
        at += rng.uniform(8, 90)
    out.append(login(user, base, at + rng.uniform(60, 600), "success", "sso-portal"))
    return explained(out, causes.SHARED_EGRESS)
