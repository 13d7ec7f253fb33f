"""Benign oddities of signing in: passwords forgotten or expired, phones replaced or out of reach.

Every function gives the events of one occurrence, or none when it does not suit the user.
"""

from __future__ import annotations

import random

from tuning.synthetic import causes
from tuning.synthetic.behaviour import (
    Session,
    context,
    explained,
    factor_change,
    login,
    second_factor,
    usual_resource,
)
from tuning.synthetic.draft import Fields
from tuning.synthetic.people import HOUR_S, User
from tuning.synthetic.stage import Stage, free_day, morning, wherever, work


def forgotten_password(stage: Stage, user: User) -> Session:
    """Guessing one's own password, then resetting it or asking the help desk."""
    rng = stage.rng
    day = free_day(stage, user)
    if day is None:
        return []
    at = morning(stage, user, day)
    base = wherever(stage, user, at, day) | {"auth_method": "password"}
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
    return explained(out + work(stage, user, base, at, 2), causes.FORGOTTEN_PASSWORD)


def missed_prompt(stage: Stage, user: User) -> Session:
    """The password is right, but the phone is out of reach: prompts run out until it is not."""
    rng = stage.rng
    day = free_day(stage, user)
    if day is None:
        return []
    at = morning(stage, user, day) + rng.uniform(0, 5) * HOUR_S
    base = wherever(stage, user, at, day) | {"auth_method": "password"}
    out = [login(user, base, at, "success", "sso-portal")]
    out[0].fields["mfa"] = False
    for _ in range(rng.randrange(1, 6)):
        at += rng.lognormvariate(4.3, 0.8)
        out.append(second_factor(user, base, at, "failure"))
    at += rng.lognormvariate(5.0, 1.0)
    out.append(second_factor(user, base, at, "success"))
    return explained(out + work(stage, user, base, at, 3), causes.MISSED_PROMPT)


def new_phone(stage: Stage, user: User) -> Session:
    """The second factor is reset, enrolled again on the new phone, and every app signs in."""
    rng = stage.rng
    phone = next((d for d in user.devices if d.is_phone and d.first_day >= 0), None)
    if phone is None or not stage.phase.first_day <= phone.first_day < stage.phase.last_day:
        return []
    day = phone.first_day
    at = morning(stage, user, day)
    if user.is_absent(day) or stage.is_away(user, day):
        return []
    old = next((d for d in user.in_use(day) if d is not phone), phone)
    out = factor_change(rng, user, wherever(stage, user, at, day, old), at)
    at = out[-1].at + rng.uniform(60, 1800)
    base = wherever(stage, user, at, day, phone)
    out.append(second_factor(user, base, at, "success"))
    for _ in range(rng.randrange(1, 5)):
        at += rng.lognormvariate(4.6, 0.9)
        out.append(login(user, base, at, "success", usual_resource(rng, user)))
    return explained(out, causes.NEW_PHONE)


def stale_phone(stage: Stage, user: User) -> Session:
    """A password was changed and the phone keeps offering the old one, at regular intervals."""
    rng = stage.rng
    day = free_day(stage, user)
    phone = next((d for d in user.in_use(day or 0) if d.is_phone), None)
    if day is None or phone is None:
        return []
    at = morning(stage, user, day)
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


def expiry_wave(stage: Stage) -> list[Session]:
    """All passwords of an office expire: one morning many fail behind its one address."""
    rng = stage.rng
    out: list[Session] = []
    for office in stage.phase.organisation.offices:
        day = rng.randrange(max(2, stage.phase.first_day), stage.phase.last_day)
        for user in stage.phase.users:
            at = stage.period.moment(user, day, rng.gauss(9, 0.5))
            away = user.is_absent(day) or stage.is_away(user, day) or not user.in_use(day)
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
