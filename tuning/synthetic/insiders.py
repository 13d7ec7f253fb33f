"""Campaigns from inside: an account's own device and place, or one already taken over.

Every function gives the drafts of one campaign that begins in [since, until), labelled with its
type; `size` is about how many events it may have.
"""

from __future__ import annotations

import random
from dataclasses import replace

from tuning.synthetic.anomalies import OFF_HOURS_MARGIN_H, Scene, foreign_resource
from tuning.synthetic.behaviour import access, login, transfer, usual_bytes, usual_resource
from tuning.synthetic.draft import Draft, Fields, place_fields
from tuning.synthetic.intruders import (
    beginning,
    carefulness,
    familiar_user,
    labelled,
    lookalike,
    plausible_place,
    session_id,
    shared_fields,
)
from tuning.synthetic.organisation import DEPARTMENTS, PRIVILEGED
from tuning.synthetic.people import DAY_S, HOUR_S, User


def low_and_slow_insider(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """One to three weeks of a few foreign resources a day, a little more data, a little later."""
    rng = scene.rng
    care = carefulness(rng)
    days = rng.randrange(7, 22)
    at = beginning(scene, since, until, days * DAY_S)
    user = familiar_user(scene, at)
    hoard = [foreign_resource(scene, user) for _ in range(rng.randrange(3, 12))]
    daily = max(1, min(5, round(size / (0.7 * days))))
    out: list[Draft] = []
    for day in range(days):
        dawn = at + day * DAY_S
        anchor = scene.timeline.pick(rng, user.user_id, dawn, dawn + DAY_S)
        if anchor is not None and user.trip_at(anchor.at) is None and rng.random() < 0.8:
            out += _errand(rng, user, anchor, hoard, care, rng.randrange(1, daily + 2))
    return labelled(out, "low_and_slow_insider", "resource")


def _errand(
    rng: random.Random, user: User, anchor: Draft, hoard: list[str], care: float, steps: int
) -> list[Draft]:
    """What the insider takes beside the day's own work, on the same machine, soon or later on."""
    base = shared_fields(anchor)
    at = anchor.at + rng.lognormvariate(6.5, 0.8)
    if rng.random() > 0.4 + 0.6 * care:
        at += rng.uniform(1, 4) * HOUR_S
        base["session_id"] = session_id(rng)
    out = []
    for _ in range(steps):
        at += rng.lognormvariate(5.5, 0.8)
        resource = rng.choice(hoard)
        if rng.random() < 0.4:
            boost = rng.uniform(0, 1 + 2.5 * (1 - care)) * user.log_bytes_sd
            out.append(transfer(user, base, at, resource, usual_bytes(rng, user, boost=boost)))
        else:
            out.append(access(rng, user, base, at, resource, "success"))
    return out


def lateral_movement(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """A valid account opens a row of resources new to it, privileged ones among them."""
    rng = scene.rng
    care = carefulness(rng)
    at = beginning(scene, since, until, rng.uniform(0.1, 3) * DAY_S)
    user = familiar_user(scene, at)
    anchor = scene.timeline.last_before(user.user_id, at)
    if anchor is None:
        return []
    base = _foothold(scene, user, anchor, care, scene.period.day_of(at))
    targets = _targets(scene, user, max(4, min(size, rng.randrange(5, 21))))
    pace_s = rng.uniform(20, 600) if rng.random() > care else rng.uniform(0.3, 6) * HOUR_S
    out = []
    for resource in targets:
        at += pace_s * rng.uniform(0.4, 1.8)
        refused = rng.random() < 0.3 * (1 - care)
        out += _step(rng, user, base, at, resource, "failure" if refused else "success")
    return labelled(out, "lateral_movement", "resource")


def _foothold(scene: Scene, user: User, anchor: Draft, care: float, day: int) -> Fields:
    """The account's own machine, or another one: a person's session, a key or a service login."""
    rng = scene.rng
    base = shared_fields(anchor) | {"session_id": session_id(rng), "auth_kind": "interactive"}
    if rng.random() > care:
        base |= place_fields(plausible_place(rng, user, 0.7))
        device = lookalike(rng, user, day, care)
        base |= {"device_id": device.device_id, "user_agent": device.user_agent(day)}
    style = rng.random()
    if style < 0.35:
        base |= {"auth_kind": "service", "auth_method": "key"}
    elif style < 0.6:
        base["auth_method"] = "key"
    else:
        base["auth_method"] = "password" if user.auth == "key" else user.auth
    return base


def _targets(scene: Scene, user: User, count: int) -> list[str]:
    """Resources of other departments, no favourites of the user's; about a third privileged."""
    rng = scene.rng
    own = {*user.resources, *DEPARTMENTS[user.department]}
    privileged = [name for name in PRIVILEGED if name not in own]
    others = [name for names in DEPARTMENTS.values() for name in names if name not in own]
    chosen = rng.sample(privileged, min(len(privileged), max(1, count // 3)))
    rest = [name for name in others if name not in chosen]
    chosen += rng.sample(rest, min(len(rest), count - len(chosen)))
    rng.shuffle(chosen)
    return chosen


def _step(
    rng: random.Random, user: User, base: Fields, at: float, resource: str, outcome: str
) -> list[Draft]:
    """Onto one resource: a sign-in there, or opening it right away."""
    if rng.random() < 0.5:
        return [login(user, base, at, outcome, resource)]
    return [access(rng, user, base, at, resource, outcome)]


def off_hours_bulk_transfer(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """The account's own machine and resources, at its owner's night; much of it, maybe split."""
    rng = scene.rng
    care = carefulness(rng)
    nights = 1 if rng.random() < 0.5 else rng.randrange(2, 5)
    at = beginning(scene, since, until, (nights + 1) * DAY_S)
    user = familiar_user(scene, at)
    anchor = scene.timeline.last_before(user.user_id, at)
    if anchor is None or anchor.fields["auth_kind"] != "interactive":
        return []
    each = max(3, min(size, rng.randrange(5, 12) + round(8 * care)) // nights)
    day = scene.period.day_of(at)
    out: list[Draft] = []
    for night in range(nights):
        margin_h = OFF_HOURS_MARGIN_H - 2 * care + rng.uniform(0, 4)
        start = scene.period.moment(user, day + night, user.rhythm.end_h + margin_h)
        base = shared_fields(anchor) | {"session_id": session_id(rng)}
        out += _haul(rng, user, base, start, care, each)
    return labelled(out, "off_hours_bulk_transfer", "bytes_transferred")


def _haul(
    rng: random.Random, user: User, base: Fields, at: float, care: float, pieces: int
) -> list[Draft]:
    """A sign-in and transfers, one to five standard deviations above the usual (log scale).

    The careful move as much in more and smaller pieces.
    """
    out = [login(user, base, at, "success", "sso-portal")]
    for _ in range(pieces):
        at += rng.lognormvariate(5.2, 0.8)
        boost = rng.uniform(2.5 - 1.5 * care, 5 - 2 * care) * user.log_bytes_sd
        size = usual_bytes(rng, user, boost=boost)
        out.append(transfer(user, base, at, usual_resource(rng, user), size))
    return out


def service_account_misuse(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """A person signs in as a service account, from a machine of their own, and looks around."""
    rng = scene.rng
    care = carefulness(rng)
    accounts = scene.timeline.service_accounts()
    at = beginning(scene, since, until, DAY_S)
    if not accounts:
        return []
    user = replace(familiar_user(scene, at), user_id=rng.choice(accounts))
    day = scene.period.day_of(at)
    device = lookalike(rng, user, day, care)
    base: Fields = {"auth_kind": "interactive", **place_fields(plausible_place(rng, user, care))}
    base |= {"device_id": device.device_id, "user_agent": device.user_agent(day)}
    base |= {"session_id": session_id(rng), "auth_method": rng.choice(("password", "key"))}
    out = [login(user, base, at, "success", "sso-portal")]
    for resource in _targets(scene, user, max(3, min(size, rng.randrange(4, 15)))):
        at += rng.lognormvariate(5.0, 1.0)
        if rng.random() < 0.4:
            out.append(transfer(user, base, at, resource, usual_bytes(rng, user)))
        else:
            out.append(access(rng, user, base, at, resource, "success"))
    return labelled(out, "service_account_misuse", "auth_kind")
