"""Campaigns: attacks made of many events, over many users or several days.

Every function gives the drafts of one campaign that begins in [since, until), labelled with its
type; `size` is about how many events it may have.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from tuning.synthetic.anomalies import (
    OFF_HOURS_MARGIN_H,
    Scene,
    foreign_resource,
    unusual_bytes,
)
from tuning.synthetic.behaviour import access, login, transfer, usual_resource
from tuning.synthetic.devices import LAPTOPS, make_device
from tuning.synthetic.draft import Draft, Fields, place_fields
from tuning.synthetic.geography import CITIES, Place, fixed_networks, place_in
from tuning.synthetic.people import DAY_S, HOUR_S, User

Campaign = Callable[[Scene, float, float, int], list[Draft]]

TAKEOVER_DAYS = 4


def _source(rng: random.Random, *, outside: str = "") -> Place:
    """An address an attacker rents, in any country but `outside`."""
    city = rng.choice([city for city in CITIES if city.country != outside])
    return place_in(city, rng.choice(fixed_networks(city)), rng.randrange(65536))


def _context(rng: random.Random, place: Place, day: int) -> Fields:
    device = make_device(rng, LAPTOPS)
    return {
        "auth_kind": "interactive",
        **place_fields(place),
        "device_id": device.device_id,
        "user_agent": device.user_agent(day),
        "session_id": f"{rng.getrandbits(64):016x}",
        "auth_method": "password",
    }


def _working_time(scene: Scene, since: float, until: float) -> float:
    return since + scene.rng.random() * max(0.0, until - since)


def _free_user(scene: Scene, at: float) -> User:
    """A user who is at home at that time; after eight tries anybody."""
    user = scene.rng.choice(scene.users)
    for _ in range(8):
        if user.trip_at(at) is None:
            break
        user = scene.rng.choice(scene.users)
    return user


def _targets(scene: Scene, count: int) -> list[User]:
    return scene.rng.sample(scene.users, min(len(scene.users), max(3, count)))


def _attempts(
    scene: Scene, bases: list[Fields], targets: list[User], at: float, pace_s: float
) -> Iterator[Draft]:
    """One failed password per target, from one of the sources in turn chosen at random."""
    for user in targets:
        at += pace_s * scene.rng.uniform(0.4, 1.8)
        yield login(user, scene.rng.choice(bases), at, "failure", "sso-portal")


def _foothold(scene: Scene, user: User, base: Fields, at: float) -> list[Draft]:
    """A guess that worked, and a first look at the mail."""
    rng = scene.rng
    inside = {**base, "session_id": f"{rng.getrandbits(64):016x}"}
    later = at + rng.uniform(60, 900)
    return [
        login(user, inside, at, "success", "sso-portal"),
        access(rng, user, inside, later, "mail", "success"),
    ]


def single_source_spray(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """One address tries one password on many users, slowly enough for the lockout rules."""
    rng = scene.rng
    at = _working_time(scene, since, until)
    base = _context(rng, _source(rng), scene.period.day_of(at))
    targets = _targets(scene, size)
    out = list(_attempts(scene, [base], targets, at, rng.uniform(15, 150)))
    if rng.random() < 0.3:
        out += _foothold(scene, rng.choice(targets), base, out[-1].at + rng.uniform(30, 600))
    return _labelled(out, "password_spraying")


def distributed_spray(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """Many addresses, each with a few attempts, over hours; one or two attempts per user."""
    rng = scene.rng
    at = _working_time(scene, since, until)
    day = scene.period.day_of(at)
    bases = [_context(rng, _source(rng), day) for _ in range(max(5, size // 4))]
    targets = _targets(scene, size * 2 // 3)
    tries = targets + rng.sample(targets, min(len(targets), size // 3))
    pace_s = rng.uniform(2, 6) * HOUR_S / len(tries)
    out = list(_attempts(scene, bases, tries, at, pace_s))
    return _labelled(out, "password_spraying")


def credential_stuffing(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """A leaked list played fast from a few addresses; old accounts in it, a few hits."""
    rng = scene.rng
    at = _working_time(scene, since, until)
    day = scene.period.day_of(at)
    bases = [_context(rng, _source(rng), day) for _ in range(rng.randrange(1, 4))]
    targets = _targets(scene, size * 9 // 10)
    out = list(_attempts(scene, bases, targets, at, rng.uniform(1, 8)))
    for draft in out:
        if rng.random() < 0.15:
            draft.user_id = f"old.{draft.user_id}"
    for user in rng.sample(targets, max(1, len(targets) // 25)):
        out += _foothold(scene, user, rng.choice(bases), out[-1].at + rng.uniform(5, 120))
    return _labelled(out, "credential_stuffing")


def brute_force(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """One account, many passwords from one address, and in the end the right one."""
    rng = scene.rng
    at = _working_time(scene, since, until)
    user = _free_user(scene, at)
    base = _context(rng, _source(rng), scene.period.day_of(at))
    out = []
    for number in range(min(rng.randrange(14, 30), max(5, size))):
        draft = login(user, base, at, "failure", "sso-portal")
        draft.fields["failed_attempts"] = number + 1
        out.append(draft)
        at += rng.uniform(2, 12)
    return _labelled(out + _foothold(scene, user, base, at), "brute_force")


def mfa_fatigue(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """The password is known; the phone is asked again and again until its owner gives in."""
    rng = scene.rng
    at = _working_time(scene, since, until)
    user = _free_user(scene, at)
    base = _context(rng, _source(rng), scene.period.day_of(at))
    out = [login(user, base, at, "success", "sso-portal")]
    out[0].fields["mfa"] = False
    prompts = rng.randrange(5, 12)
    for number in range(prompts + 1):
        at += rng.uniform(15, 120)
        given_in = number == prompts
        fields: Fields = {**base, "action": "mfa", "auth_method": "mfa", "mfa": given_in}
        fields["outcome"] = "success" if given_in else "failure"
        out.append(Draft(at, user.user_id, fields))
    at += rng.uniform(60, 900)
    out.append(access(rng, user, base, at, usual_resource(rng, user), "success"))
    return _labelled(out, "mfa_fatigue")


def account_takeover(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """Quiet: a new device in a new country, then rare resources, then transfers at night."""
    rng = scene.rng
    at = _working_time(scene, since, until - TAKEOVER_DAYS * DAY_S)
    user = _free_user(scene, at)
    place = _source(rng, outside=user.home.country)
    base = _context(rng, place, scene.period.day_of(at))
    out = _foothold(scene, user, base, at)
    for _ in range(rng.randrange(3, 7)):
        at += rng.lognormvariate(9.2, 0.8)
        out.append(access(rng, user, base, at, foreign_resource(scene, user), "success"))
    for _ in range(rng.randrange(2, 4)):
        at = _next_night(rng, user, at)
        out += _night_visit(scene, user, base, at)
    return _labelled(out, "account_takeover")


def _next_night(rng: random.Random, user: User, at: float) -> float:
    """The next time the user surely does not work, at least some hours ahead."""
    hour = user.rhythm.end_h + OFF_HOURS_MARGIN_H + rng.uniform(0, 4)
    later = at + 4 * HOUR_S
    return later + ((hour - user.local_hour(later)) % 24) * HOUR_S


def _night_visit(scene: Scene, user: User, base: Fields, at: float) -> list[Draft]:
    rng = scene.rng
    session = {**base, "session_id": f"{rng.getrandbits(64):016x}"}
    out = [login(user, session, at, "success", "sso-portal")]
    for _ in range(rng.randrange(1, 3)):
        at += rng.lognormvariate(5.5, 0.7)
        resource = foreign_resource(scene, user)
        out.append(transfer(user, session, at, resource, unusual_bytes(rng, user)))
    return out


def _labelled(drafts: list[Draft], label: str) -> list[Draft]:
    keep = frozenset({"source_ip"})
    return [replace(draft, label=label, keep=keep) for draft in drafts]
