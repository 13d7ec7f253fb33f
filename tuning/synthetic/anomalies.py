"""Incidents: the five base anomaly types, alone and in pairs.

Each is abnormal only against the user's own past. The rest of the event is what an intruder
(or the user on a bad day) would plausibly produce: known networks, common browsers, cities where
colleagues live.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from preprocessing.geo import GEO_ACCURACY_KM, distance_km
from tuning.synthetic.behaviour import (
    Period,
    access,
    context,
    login,
    suitable_resources,
    transfer,
    usual_bytes,
    usual_resource,
)
from tuning.synthetic.devices import LAPTOPS, PHONES, Device, make_device
from tuning.synthetic.draft import Draft, Fields
from tuning.synthetic.geography import (
    CITIES,
    City,
    Place,
    fixed_networks,
    mobile_network,
    place_in,
)
from tuning.synthetic.organisation import DEPARTMENTS
from tuning.synthetic.people import HOUR_S, User
from tuning.synthetic.timeline import Timeline

TRAVEL = "impossible_travel"
OFF_HOURS = "off_hours_login"
FAILURES = "multiple_failed_logins"
LARGE = "large_data_transfer"
UNUSUAL = "unusual_resource_access"

BASE_TYPES = (TRAVEL, OFF_HOURS, FAILURES, LARGE, UNUSUAL)
CATEGORIES: tuple[str, ...] = BASE_TYPES + tuple(
    "+".join(pair) for pair in itertools.combinations(BASE_TYPES, 2)
)

MIN_TRAVEL_KM = 900.0
MIN_SPEED_KMH = 1_000.0  # above any airliner, see the velocity rules of other products
OFF_HOURS_MARGIN_H = 3.5  # ordinary overtime ends 2.5 h after the working window

# fields the abnormality rests on, which a lossy source must not take away
_ESSENTIAL = {
    TRAVEL: frozenset({"country", "latitude", "longitude"}),
    OFF_HOURS: frozenset[str](),
    FAILURES: frozenset[str](),
    LARGE: frozenset({"bytes_transferred"}),
    UNUSUAL: frozenset({"resource"}),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything an incident is made from; times in seconds since 1970."""

    rng: random.Random
    users: Sequence[User]
    timeline: Timeline
    period: Period


@dataclass(frozen=True, slots=True)
class _Setting:
    """When, from where and with what one incident happens."""

    user: User
    at: float
    base: Fields
    kinds: frozenset[str]


def incident(scene: Scene, category: str, since: float, until: float) -> list[Draft]:
    """The labelled events of one incident that begins in [since, until); maybe empty."""
    kinds = frozenset(category.split("+"))
    for _ in range(40):
        setting = _setting(scene, kinds, since, until)
        if setting is not None:
            keep = frozenset().union(*(_ESSENTIAL[kind] for kind in kinds))
            return [replace(draft, label=category, keep=keep) for draft in _events(scene, setting)]
    return []


def _setting(scene: Scene, kinds: frozenset[str], since: float, until: float) -> _Setting | None:
    rng = scene.rng
    user = rng.choice(scene.users)
    anchor = scene.timeline.pick(rng, user.user_id, since, until)
    if anchor is None:
        return None
    at = _off_hours(rng, user, anchor.at) if OFF_HOURS in kinds else _soon(rng, user, anchor.at)
    if at is None or not since <= at < until or user.trip_at(at) or user.trip_at(anchor.at):
        return None
    if not kinds & {TRAVEL, OFF_HOURS, FAILURES}:
        return _Setting(user, at, _own_session(rng, anchor), kinds)
    place = _far_place(scene, user, at) if TRAVEL in kinds else _near_place(scene, user, at)
    if place is None:
        return None
    day = scene.period.day_of(at)
    device = _intruder_device(rng, user, day)
    return _Setting(user, at, context(user, device, place, day, rng), kinds)


def _own_session(rng: random.Random, anchor: Draft) -> Fields:
    """The context of an ordinary event: the user's own machine, misused."""
    about_event = {"action", "outcome", "resource", "bytes_transferred", "failed_attempts", "mfa"}
    base = {name: value for name, value in anchor.fields.items() if name not in about_event}
    if base.get("auth_method") == "mfa":
        base["auth_method"] = "password"
    if rng.random() < 0.3:
        base["session_id"] = f"{rng.getrandbits(64):016x}"
    return base


def _soon(rng: random.Random, user: User, anchor_at: float) -> float | None:
    """A while after the anchor, still at a time of day the user works."""
    at = anchor_at + min(3 * HOUR_S, rng.lognormvariate(7.6, 0.8))
    return at if user.rhythm.hours_outside(user.local_hour(at)) < 1.0 else None


def _off_hours(rng: random.Random, user: User, anchor_at: float) -> float:
    """Within a day of the anchor, hours away from the user's working window on either side."""
    rhythm = user.rhythm
    free_h = 24 - (rhythm.end_h - rhythm.start_h) - 2 * OFF_HOURS_MARGIN_H
    hour = rhythm.end_h + OFF_HOURS_MARGIN_H + rng.random() * free_h
    ahead_h = (hour - user.local_hour(anchor_at)) % 24
    return anchor_at + ahead_h * HOUR_S


def _near_place(scene: Scene, user: User, at: float) -> Place:
    """At home, or from another connection in the same city."""
    rng = scene.rng
    if rng.random() < 0.5:
        return user.household(scene.period.day_of(at))
    network = rng.choice((*fixed_networks(user.home), mobile_network(user.home)))
    return place_in(user.home, network, rng.randrange(65536))


def _far_place(scene: Scene, user: User, at: float) -> Place | None:
    """A city nobody could have reached since the user's last event, mostly a colleague's."""
    rng = scene.rng
    last = scene.timeline.last_before(user.user_id, at)
    if last is None:
        return None
    gap_h = (at - last.at) / HOUR_S
    reach_km = max(MIN_TRAVEL_KM, GEO_ACCURACY_KM + MIN_SPEED_KMH * gap_h)
    for _ in range(12):
        city = rng.choice(scene.users).home if rng.random() < 0.85 else rng.choice(CITIES)
        from_last = distance_km(*last.position, city.latitude, city.longitude)
        if from_last > reach_km and _between(user.home, city) > MIN_TRAVEL_KM:
            network = rng.choice((*fixed_networks(city), mobile_network(city)))
            return place_in(city, network, rng.randrange(65536))
    return None


def _between(a: City, b: City) -> float:
    return distance_km(a.latitude, a.longitude, b.latitude, b.longitude)


def _intruder_device(rng: random.Random, user: User, day: int) -> Device:
    """The user's own device (stolen, or its session), else another one of a common make."""
    if rng.random() < 0.45:
        return rng.choice(user.in_use(day))
    return make_device(rng, PHONES if rng.random() < 0.25 else LAPTOPS)


def _events(scene: Scene, setting: _Setting) -> list[Draft]:
    """Failed attempts, sign-in, then what the intruder came for, as the kinds demand."""
    rng = scene.rng
    kinds = setting.kinds
    aim = foreign_resource(scene, setting.user) if UNUSUAL in kinds else None
    events: list[Draft] = []
    at = setting.at
    if FAILURES in kinds:
        events, at = _burst(rng, setting, at, aim)
    goal = bool(kinds & {LARGE, UNUSUAL})
    alone = kinds == {FAILURES}
    if kinds & {TRAVEL, OFF_HOURS, FAILURES} and not (alone and rng.random() < 0.65):
        events.append(_entry(rng, setting, at, aim))
    if goal:
        events += _loot(scene, setting, at, aim)
    elif FAILURES not in kinds:
        events += _look_around(rng, setting, at)
    return events


def _burst(
    rng: random.Random, setting: _Setting, at: float, aim: str | None
) -> tuple[list[Draft], float]:
    """Four to nine failed attempts within a few minutes; some sources count them."""
    resource = aim or ("sso-portal" if rng.random() < 0.5 else usual_resource(rng, setting.user))
    told = rng.random() < 0.5
    pace_s = rng.uniform(3, 60)
    events = []
    for number in range(rng.randrange(4, 10)):
        draft = login(setting.user, setting.base, at, "failure", resource)
        if told:
            draft.fields["failed_attempts"] = number + 1
        events.append(draft)
        at += pace_s * rng.uniform(0.5, 1.6)
    return events, at


def _entry(rng: random.Random, setting: _Setting, at: float, aim: str | None) -> Draft:
    resource = aim or ("sso-portal" if rng.random() < 0.5 else usual_resource(rng, setting.user))
    return login(setting.user, setting.base, at, "success", resource)


def _look_around(rng: random.Random, setting: _Setting, at: float) -> list[Draft]:
    """Up to three ordinary-looking steps after the sign-in."""
    events = []
    for _ in range(rng.randrange(0, 4)):
        at += rng.lognormvariate(4.6, 0.8)
        resource = usual_resource(rng, setting.user)
        if rng.random() < 0.25:
            size = usual_bytes(rng, setting.user)
            events.append(transfer(setting.user, setting.base, at, resource, size))
        else:
            events.append(access(rng, setting.user, setting.base, at, resource, "success"))
    return events


def _loot(scene: Scene, setting: _Setting, at: float, aim: str | None) -> list[Draft]:
    """One to three steps that are the abnormality itself."""
    rng = scene.rng
    events = []
    for _ in range(rng.randrange(1, 4)):
        at += rng.lognormvariate(4.6, 0.8)
        if LARGE in setting.kinds:
            resource = aim or usual_resource(rng, setting.user)
            size = unusual_bytes(rng, setting.user)
            events.append(transfer(setting.user, setting.base, at, resource, size))
        else:
            resource = aim or foreign_resource(scene, setting.user)
            events.append(_visit(rng, setting, at, resource))
    return events


def _visit(rng: random.Random, setting: _Setting, at: float, resource: str) -> Draft:
    if rng.random() < 0.2:
        return transfer(setting.user, setting.base, at, resource, usual_bytes(rng, setting.user))
    outcome = "failure" if rng.random() < 0.12 else "success"
    return access(rng, setting.user, setting.base, at, resource, outcome)


def unusual_bytes(rng: random.Random, user: User) -> int:
    """A transfer 3.5 or more standard deviations above the user's usual (on the log scale)."""
    deviations = 3.5 + rng.expovariate(0.8)
    return int(math.exp(user.log_bytes + user.log_bytes_sd * min(9.0, deviations)))


def foreign_resource(scene: Scene, user: User) -> str:
    """What some colleague uses every day and this user never does."""
    rng = scene.rng
    own = {*user.resources, *suitable_resources(user)}
    for _ in range(20):
        colleague = rng.choice(scene.users)
        theirs = [name for name in colleague.resources if name not in own]
        if colleague.department != user.department and theirs:
            return rng.choice(theirs)
    others = [name for name in DEPARTMENTS if name != user.department]
    return rng.choice(DEPARTMENTS[rng.choice(others)])
