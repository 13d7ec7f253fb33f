"""Poisoning: accounts whose sizes, hours, resources and places creep up, and thefts after that.

The ramp is laid over the account's ordinary events, so that the same set can be made with and
without it: same users, same events, same thefts.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from tuning.synthetic.anomalies import Scene, foreign_resource
from tuning.synthetic.behaviour import context, login, transfer, usual_bytes
from tuning.synthetic.draft import Draft, Fields, place_fields
from tuning.synthetic.geography import Place
from tuning.synthetic.intruders import plausible_place, session_id, shared_fields
from tuning.synthetic.people import DAY_S, HOUR_S, User

RAMP_SHARE = (0.17, 0.71)  # of the period: when it begins, and when it has reached its height
THEFTS_FROM = 0.74
FEWEST_THEFTS = 6  # events of one account's thefts
MIN_EVENTS_IN_RAMP = 25
RAMP, THEFT = "slow_ramp", "data_theft"


@dataclass(frozen=True, slots=True)
class Creep:
    """What one account creeps towards.

    `deviations` of its own log scale for sizes, `later_h` hours, resources of others, and a place
    that is not its owner's when the account is stolen; `base` are the fields of its sessions.
    """

    user: User
    deviations: float
    later_h: float
    hoard: tuple[str, ...]
    place: Place | None
    base: Fields


def creeps(scene: Scene, events: int) -> list[Creep]:
    """Enough accounts for `events` events of theft, among those with enough to do."""
    since, until = (scene.period.start + share * _length_s(scene) for share in RAMP_SHARE)
    active = [
        user
        for user in scene.users
        if scene.timeline.interactive(user.user_id, since, until) >= MIN_EVENTS_IN_RAMP
    ]
    count = math.ceil(events / FEWEST_THEFTS)
    chosen = scene.rng.sample(active, min(len(active), count)) or list(scene.users[:1])
    return [_creep(scene, user, until) for user in chosen]


def _length_s(scene: Scene) -> float:
    return scene.period.days * DAY_S


def _creep(scene: Scene, user: User, until: float) -> Creep:
    rng = scene.rng
    anchor = scene.timeline.pick(rng, user.user_id, scene.period.start, until)
    stolen = rng.random() < 0.4
    return Creep(
        user=user,
        deviations=rng.uniform(3.0, 6.0),
        later_h=rng.uniform(1.0, 6.0) if rng.random() < 0.7 else 0.0,
        hoard=tuple(foreign_resource(scene, user) for _ in range(rng.randrange(2, 8))),
        place=plausible_place(rng, user, 0.4) if stolen else None,
        base=shared_fields(anchor) if anchor else _own_context(scene, user),
    )


def _own_context(scene: Scene, user: User) -> Fields:
    """For an account that did nothing before the ramp ends: its first device, at home."""
    return context(user, user.devices[0], user.household(0), 0, scene.rng)


def thefts(scene: Scene, creep: Creep) -> list[Draft]:
    """Two to four hauls at the height of the ramp, as if it had become the habit."""
    rng = scene.rng
    user = creep.user
    first = math.ceil(THEFTS_FROM * scene.period.days)
    out: list[Draft] = []
    days = range(first, scene.period.days - 1)
    for day in sorted(rng.sample(days, min(len(days), rng.randrange(2, 5)))):
        hour = rng.uniform(user.rhythm.start_h, user.rhythm.end_h - 1) + creep.later_h
        at = scene.period.moment(user, day, hour)
        base = creep.base | {"session_id": session_id(rng)}
        if creep.place is not None:
            base |= place_fields(creep.place)
        out.append(login(user, base, at, "success", "sso-portal"))
        for _ in range(rng.randrange(2, 5)):
            at += rng.lognormvariate(5.2, 0.8)
            boost = (creep.deviations + rng.uniform(0, 1)) * user.log_bytes_sd
            size = usual_bytes(rng, user, boost=boost)
            out.append(transfer(user, base, at, rng.choice(creep.hoard), size))
    return out


def lay_over(scene: Scene, creep: Creep) -> list[Draft]:
    """Change the account's interactive events along the ramp, in place; gives the changed ones."""
    start, height = (share * scene.period.days for share in RAMP_SHARE)
    out = []
    for draft in scene.timeline.of(creep.user.user_id):
        progress = (scene.period.day_of(draft.at) - start) / (height - start)
        if progress <= 0 or draft.fields["auth_kind"] != "interactive":
            continue
        _shift(scene.rng, creep, draft, min(1.0, progress))
        out.append(draft)
    return out


def _shift(rng: random.Random, creep: Creep, draft: Draft, progress: float) -> None:
    """One event, `progress` of the way up (0 to 1)."""
    user = creep.user
    fields = draft.fields
    draft.at += progress * creep.later_h * HOUR_S
    if fields["action"] == "access" and rng.random() < 0.5 * progress:
        fields |= {"action": "transfer", "outcome": "success"}
        fields["bytes_transferred"] = usual_bytes(rng, user)
    if fields["action"] == "transfer":
        size = int(fields["bytes_transferred"])
        boost = progress * creep.deviations * user.log_bytes_sd
        fields["bytes_transferred"] = int(size * math.exp(boost))
    reached = creep.hoard[: math.ceil(progress * len(creep.hoard))]
    if fields["action"] in {"access", "transfer"} and rng.random() < 0.6 * progress:
        fields["resource"] = rng.choice(reached)
    session = fields.get("session_id")  # one-off events, a forgotten password's, have none
    moved = _moves(str(session), progress) if session else rng.random() < progress
    if creep.place is not None and moved:
        fields |= place_fields(creep.place)


def _moves(session: str, progress: float) -> bool:
    """Whether the session is one of the share of sessions that have moved by now."""
    return int(session[:8], 16) < progress * 2**32
