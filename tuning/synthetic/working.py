"""Benign oddities of work: unusual hours, places, resources and amounts, for good reasons.

Every function gives the events of one occurrence, or none when it does not suit the user.
"""

from __future__ import annotations

from dataclasses import replace

from tuning.synthetic import causes
from tuning.synthetic.behaviour import (
    Session,
    access,
    context,
    explained,
    login,
    suitable_resources,
    transfer,
    usual_bytes,
    usual_resource,
)
from tuning.synthetic.draft import place_fields
from tuning.synthetic.organisation import DEPARTMENTS, PRIVILEGED, PROJECTS
from tuning.synthetic.people import DAY_S, HOUR_S, User
from tuning.synthetic.stage import Stage, fetch, free_day, morning, wherever, work, works_on


def month_end(stage: Stage, user: User) -> Session:
    """The books are closed: long evenings and several times the usual data."""
    rng = stage.rng
    out: Session = []
    for day in range(stage.phase.first_day, stage.phase.last_day):
        if not (user.month_end and stage.period.closes_books(day) and works_on(user, day)):
            continue
        at = stage.period.moment(user, day, user.rhythm.end_h - 1 + rng.uniform(0, 4))
        if stage.is_away(user, day):
            continue
        base = wherever(stage, user, at, day)
        out.append(login(user, base, at, "success", "sso-portal"))
        for _ in range(rng.randrange(2, 6)):
            at += rng.lognormvariate(5.2, 0.8)
            size = usual_bytes(rng, user, boost=rng.uniform(0.5, 2.0))
            out.append(transfer(user, base, at, usual_resource(rng, user), size))
    return explained(out, causes.MONTH_END)


def service_admin(stage: Stage, user: User) -> Session:
    """An administrator signs in as a service account in its maintenance window, week after week."""
    rng = stage.rng
    first = free_day(stage, user)
    if first is None or not _administers(user) or not stage.accounts:
        return []
    account = replace(user, user_id=stage.accounts[user.salt % len(stage.accounts)])
    hour = rng.uniform(user.rhythm.start_h, user.rhythm.end_h - 1)
    often = rng.uniform(0.3, 1.0)
    out: Session = []
    for day in range(first % 7 + stage.phase.first_day, stage.phase.last_day, 7):
        laptop = next((d for d in user.in_use(day) if not d.is_phone), None)
        there = laptop is not None and works_on(user, day) and not stage.is_away(user, day)
        if not there or rng.random() > often:
            continue
        at = stage.period.moment(user, day, hour + rng.gauss(0, 0.3))
        base = wherever(stage, user, at, day, laptop)
        base["auth_method"] = "key" if user.auth == "key" else "password"
        out.append(login(account, base, at, "success", rng.choice(("bastion", "sso-portal"))))
        for _ in range(rng.randrange(2, 7)):
            at += rng.lognormvariate(5.2, 0.9)
            resource = rng.choice(
                ("backup-vault", "dataset-lake", "ledger", "crm", *PRIVILEGED[:4])
            )
            out.append(access(rng, account, base, at, resource, "success"))
    return explained(out, causes.SERVICE_ADMIN)


def _administers(user: User) -> bool:
    """One in four of those who know how; two or three to a service account."""
    return user.department in {"operations", "engineering"} and user.salt // 8 % 4 == 0


def night_shift(stage: Stage, user: User) -> Session:
    """Somebody who works by day is on call for some nights of a week."""
    rng = stage.rng
    first = free_day(stage, user)
    if first is None or user.rhythm.start_h > 15:
        return []
    out: Session = []
    for day in range(first, min(stage.phase.last_day, first + rng.randrange(1, 5))):
        at = stage.period.moment(user, day, rng.uniform(22.5, 28.5))
        if user.is_absent(day) or stage.is_away(user, day) or not user.in_use(day):
            break
        device = rng.choice(user.in_use(day))
        base = context(user, device, user.household(day), day, rng)
        out.append(login(user, base, at, "success", "sso-portal"))
        out += work(stage, user, base, at, 5)
    return explained(out, causes.NIGHT_SHIFT)


def new_hire(stage: Stage, user: User) -> Session:
    """The first week: everything the department has is opened for the first time."""
    rng = stage.rng
    if not stage.phase.first_day <= user.first_day < stage.phase.last_day - 1:
        return []
    out: Session = []
    for day in range(user.first_day, min(stage.phase.last_day, user.first_day + 5)):
        at = morning(stage, user, day)
        if not works_on(user, day) or stage.is_away(user, day):
            continue
        base = wherever(stage, user, at, day)
        out.append(login(user, base, at, "success", "sso-portal"))
        for resource in rng.sample(suitable_resources(user), rng.randrange(2, 5)):
            at += rng.lognormvariate(5.4, 0.8)
            out.append(access(rng, user, base, at, resource, "success"))
    return explained(out, causes.NEW_HIRE)


def new_project(stage: Stage, user: User) -> Session:
    """Lent to another team for some days: its resources, some of them with data to fetch."""
    rng = stage.rng
    first = free_day(stage, user)
    if first is None:
        return []
    team = rng.choice([name for name in DEPARTMENTS if name != user.department])
    pool = [name for name in DEPARTMENTS[team] if name not in user.resources]
    chosen = rng.sample(pool, min(len(pool), rng.randrange(1, 4)))
    chosen += rng.sample(PROJECTS, rng.randrange(1, 4))
    out: Session = []
    for day in range(first, min(stage.phase.last_day, first + rng.randrange(2, 9))):
        at = stage.period.moment(user, day, rng.uniform(user.rhythm.start_h, user.rhythm.end_h))
        if not works_on(user, day) or stage.is_away(user, day):
            continue
        base = wherever(stage, user, at, day)
        out.append(login(user, base, at, "success", rng.choice(chosen)))
        for _ in range(rng.randrange(1, 4)):
            at += rng.lognormvariate(5.4, 0.9)
            out.append(fetch(rng, user, base, at, rng.choice(chosen)))
    return explained(out, causes.NEW_PROJECT)


def deadline(stage: Stage, user: User) -> Session:
    """Late in the evening or on a free day, with large transfers of the user's own resources."""
    rng = stage.rng
    day = free_day(stage, user)
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
    day = free_day(stage, user)
    if day is None:
        return []
    at = morning(stage, user, day) + rng.uniform(0, 5) * HOUR_S
    base = wherever(stage, user, at, day)
    out = [login(user, base, at, "success", "sso-portal")]
    for _ in range(rng.randrange(1, 4)):
        at += rng.lognormvariate(8.0, 0.8)
        place = user.on_mobile(rng) if rng.random() < 0.6 else user.household(day)
        base = base | place_fields(place)
        for _ in range(rng.randrange(1, 3)):
            at += rng.lognormvariate(5.0, 0.9)
            out.append(fetch(rng, user, base, at, usual_resource(rng, user)))
    return explained(out, causes.ROAMING_SESSION)


def app_sync(stage: Stage, user: User) -> Session:
    """Nothing odd at all: an app with a token of its own reads, and now and then moves, data."""
    rng = stage.rng
    out: Session = []
    for _ in range(rng.randrange(1, 6)):
        day = free_day(stage, user)
        if day is None:
            break
        at = stage.period.start + (day + rng.random()) * DAY_S
        base = wherever(stage, user, at, day) | {"auth_kind": "token", "auth_method": "token"}
        for _ in range(rng.randrange(1, 4)):
            at += rng.lognormvariate(4.0, 1.0)
            out.append(fetch(rng, user, base, at, usual_resource(rng, user)))
    return out


def automation(stage: Stage, user: User) -> Session:
    """Nothing odd either: scripts that run under a person's own account, with a key."""
    rng = stage.rng
    day = free_day(stage, user)
    if day is None or user.department not in {"operations", "engineering", "research"}:
        return []
    laptop = next((d for d in user.in_use(day) if not d.is_phone), None)
    at = stage.period.start + (day + rng.random()) * DAY_S
    own = rng.sample(user.resources, rng.randrange(1, 4))
    out: Session = []
    for _ in range(rng.randrange(2, 9)):
        again = stage.period.day_of(at)
        gone = (
            user.is_absent(again) or laptop not in user.in_use(again) or stage.is_away(user, again)
        )
        if gone or again >= stage.phase.last_day:
            break
        base = wherever(stage, user, at, again, laptop)
        base |= {"auth_kind": "service", "auth_method": "key"}
        outcome = "failure" if rng.random() < 0.06 else "success"
        out.append(login(user, base, at, outcome, rng.choice(own)))
        if outcome == "success":
            out.append(fetch(rng, user, base, at + rng.uniform(2, 90), rng.choice(own)))
        at += rng.choice((6, 24, 24)) * HOUR_S + rng.uniform(0, 300)
    return out
