"""Campaigns of outsiders who have the right credentials: the hard half.

Every function gives the drafts of one campaign that begins in [since, until), labelled with its
type; `size` is about how many events it may have.
"""

from __future__ import annotations

from tuning.synthetic.anomalies import Scene
from tuning.synthetic.behaviour import context, factor_change, second_factor
from tuning.synthetic.draft import Draft, place_fields
from tuning.synthetic.intruders import (
    beginning,
    carefulness,
    convenient,
    familiar_user,
    labelled,
    lookalike,
    plausible_place,
    shared_fields,
    signed_in,
    visit,
)
from tuning.synthetic.people import DAY_S, HOUR_S, User

REPLAY_TRIES = 40
DORMANT_DAYS = 14


def quiet_takeover(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """The right password, a plausible place, a new device; no single event is strange enough."""
    rng = scene.rng
    care = carefulness(rng)
    at = beginning(scene, since, until, rng.uniform(1, 10) * DAY_S)
    user = familiar_user(scene, at)
    day = scene.period.day_of(at)
    device = lookalike(rng, user, day, care)
    place = plausible_place(rng, user, care)
    out: list[Draft] = []
    for _ in range(rng.randrange(2, 8)):
        at = convenient(scene, user, at, care)
        out += signed_in(scene, user, device, place, at, care, rng.randrange(1, 5))
        at = out[-1].at + rng.lognormvariate(10, 1)
        if len(out) >= size:
            break
        if rng.random() < 0.15:
            place = plausible_place(rng, user, care)
    return labelled(out, "quiet_takeover")


def dormant_account(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """An account nobody has used for weeks signs in again; what it could reach, it still can."""
    rng = scene.rng
    care = carefulness(rng)
    at = beginning(scene, since, until, DAY_S)
    user = _dormant_user(scene, at)
    if user is None:
        return []
    day = scene.period.day_of(at)
    device = rng.choice(user.devices) if rng.random() < 0.2 else lookalike(rng, user, day, care)
    place = plausible_place(rng, user, care)
    out: list[Draft] = []
    for _ in range(rng.randrange(1, 5)):
        at = convenient(scene, user, at, care)
        out += signed_in(scene, user, device, place, at, care, rng.randrange(2, 7))
        at = out[-1].at + rng.lognormvariate(10, 1)
        if len(out) >= size:
            break
    return labelled(out, "dormant_account")


def _dormant_user(scene: Scene, at: float) -> User | None:
    """Somebody who was there once, and not in the last two weeks nor on the day after."""
    for user in scene.rng.sample(scene.users, len(scene.users)):
        last = scene.timeline.last_before(user.user_id, at + DAY_S)
        if last is not None and at - last.at > DORMANT_DAYS * DAY_S:
            return user
    return None


def factor_reset(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """The second factor is talked away, one of the intruder's own enrolled, then used."""
    rng = scene.rng
    care = carefulness(rng)
    at = beginning(scene, since, until, rng.uniform(0.5, 3) * DAY_S)
    user = familiar_user(scene, at)
    day = scene.period.day_of(at)
    device = lookalike(rng, user, day, care)
    place = plausible_place(rng, user, care)
    at = convenient(scene, user, at, care)
    base = context(user, device, place, day, rng)
    out: list[Draft] = []
    if rng.random() > care:
        out += [
            second_factor(user, base, at + 45 * n, "failure") for n in range(rng.randrange(1, 4))
        ]
        at = out[-1].at + rng.uniform(300, 7200)
    out += factor_change(rng, user, base, at)
    out.append(second_factor(user, base, out[-1].at + rng.uniform(60, 1800), "success"))
    at = out[-1].at + min(2 * DAY_S, rng.lognormvariate(8, 1.5))
    for _ in range(rng.randrange(1, 4)):
        at = convenient(scene, user, at, care)
        out += signed_in(scene, user, device, place, at, care, rng.randrange(1, 6))
        at = out[-1].at + rng.lognormvariate(10, 1)
        if len(out) >= size:
            break
    return labelled(out, "factor_reset")


def token_replay(scene: Scene, since: float, until: float, size: int) -> list[Draft]:
    """The token of an ordinary session, used elsewhere; nobody signs in again."""
    rng = scene.rng
    care = carefulness(rng)
    stolen = _stolen_session(scene, since, until)
    if stolen is None:
        return []
    victim, user = stolen
    base = shared_fields(victim)
    base |= place_fields(plausible_place(rng, user, care))
    day = scene.period.day_of(victim.at)
    if rng.random() > 0.5 * care:
        base.pop("device_id", None)
        if rng.random() < 0.6:
            base["device_id"] = lookalike(rng, user, day, care).device_id
    if rng.random() > care:
        base["user_agent"] = lookalike(rng, user, day, care).user_agent(day)
    if rng.random() < 0.5:
        base |= {"auth_kind": "token", "auth_method": "token"}
    at = victim.at + min(3 * DAY_S, rng.lognormvariate(8.8, 1.2))
    steps = max(3, min(size, rng.randrange(3, 16)))
    out = visit(scene, user, base, at, care, steps)
    return labelled(out, "token_replay", "session_id", "source_ip")


def _stolen_session(scene: Scene, since: float, until: float) -> tuple[Draft, User] | None:
    """An ordinary interactive event of somebody at home, whose session token gets about."""
    rng = scene.rng
    for _ in range(REPLAY_TRIES):
        user = rng.choice(scene.users)
        victim = scene.timeline.pick(rng, user.user_id, since, until - 6 * HOUR_S)
        if victim is not None and user.trip_at(victim.at) is None:
            return victim, user
    return None
