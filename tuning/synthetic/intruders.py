"""What intruders choose: whom, when, from where and with what, each as carefully as they are.

`care` is a share in [0, 1]: how often an intruder takes the inconspicuous way. Nobody is told to
be conspicuous; a careless one simply does what is at hand.
"""

from __future__ import annotations

import random
from dataclasses import replace

from preprocessing.geo import distance_km
from tuning.synthetic.anomalies import Scene, foreign_resource
from tuning.synthetic.behaviour import (
    access,
    context,
    login,
    transfer,
    usual_bytes,
    usual_resource,
)
from tuning.synthetic.devices import LAPTOPS, Device, make_device
from tuning.synthetic.draft import Draft, Fields
from tuning.synthetic.geography import (
    CITIES,
    City,
    Place,
    fixed_networks,
    mobile_network,
    place_in,
    tunnel_exit,
)
from tuning.synthetic.people import DAY_S, HOUR_S, User

MASTERS = 0.2  # of the intruders, those who leave out everything that can be left out
TUNNELLED = 0.25
NEIGHBOUR_KM = 1_200.0
FAMILIAR_DAYS = 5.0
ABOUT_EVENT = frozenset(
    {"action", "outcome", "resource", "bytes_transferred", "failed_attempts", "mfa"}
)


def carefulness(rng: random.Random) -> float:
    """How careful the next intruder is, 0 to 1."""
    return 1.0 if rng.random() < MASTERS else rng.random()


def beginning(scene: Scene, since: float, until: float, lasts_s: float) -> float:
    """A moment in [since, until) that leaves `lasts_s` seconds before `until`, if there are."""
    return since + scene.rng.random() * max(0.0, until - lasts_s - since)


def familiar_user(scene: Scene, at: float) -> User:
    """Somebody at home who was active in the days before `at`; after 40 tries anybody."""
    user = scene.rng.choice(scene.users)
    for _ in range(40):
        last = scene.timeline.last_before(user.user_id, at)
        recent = last is not None and at - last.at < FAMILIAR_DAYS * DAY_S
        if recent and user.trip_at(at) is None:
            break
        user = scene.rng.choice(scene.users)
    return user


def session_id(rng: random.Random) -> str:
    return f"{rng.getrandbits(64):016x}"


def plausible_place(rng: random.Random, user: User, care: float) -> Place:
    """A consumer connection: in the user's city, or in one of the same or a near country.

    Of the careless, some use a consumer VPN.
    """
    if rng.random() > care and rng.random() < TUNNELLED:
        return tunnel_exit(rng, country=user.home.country)
    city = user.home if rng.random() < care else rng.choice(_near(user.home))
    networks = (*fixed_networks(city), *fixed_networks(city), mobile_network(city))
    return place_in(city, rng.choice(networks), rng.randrange(65536))


def _near(home: City) -> list[City]:
    return [
        city
        for city in CITIES
        if city.country == home.country or _between_km(home, city) < NEIGHBOUR_KM
    ]


def _between_km(a: City, b: City) -> float:
    return distance_km(a.latitude, a.longitude, b.latitude, b.longitude)


def lookalike(rng: random.Random, user: User, day: int, care: float) -> Device:
    """A device nobody has seen: of the same make as one of the user's own, or just any."""
    if rng.random() < care:
        own = rng.choice(user.in_use(day) or user.devices)
        return replace(own, device_id=f"{rng.getrandbits(48):012x}", first_day=-1, last_day=10_000)
    return make_device(rng, LAPTOPS)


def convenient(scene: Scene, user: User, at: float, care: float) -> float:
    """A moment soon after `at`: in working hours if careful, up to five hours late if not."""
    rng = scene.rng
    rhythm = user.rhythm
    day = scene.period.day_of(at + user.home.utc_offset_h * HOUR_S)
    careful = rng.random() < care
    if careful:
        hour = rng.uniform(rhythm.start_h, rhythm.end_h)
    else:
        hour = rng.uniform(rhythm.start_h, rhythm.end_h + 5)
    while scene.period.moment(user, day, hour) < at or (careful and day % 7 not in rhythm.weekdays):
        day += 1
    return scene.period.moment(user, day, hour)


def visit(
    scene: Scene, user: User, base: Fields, at: float, care: float, steps: int
) -> list[Draft]:
    """`steps` things done in one session: the user's own resources if careful, others if not."""
    rng = scene.rng
    out = []
    for _ in range(steps):
        at += rng.lognormvariate(5.2, 1.0)
        own = rng.random() < 0.35 + 0.6 * care
        resource = usual_resource(rng, user) if own else foreign_resource(scene, user)
        if rng.random() < 0.35:
            boost = rng.uniform(0, 1 + 3 * (1 - care)) * user.log_bytes_sd
            size = usual_bytes(rng, user, boost=boost)
            out.append(transfer(user, base, at, resource, size))
        else:
            out.append(access(rng, user, base, at, resource, "success"))
    return out


def signed_in(
    scene: Scene, user: User, device: Device, place: Place, at: float, care: float, steps: int
) -> list[Draft]:
    """A new session: the right password, perhaps mistyped once, then `steps` things done."""
    rng = scene.rng
    base = context(user, device, place, scene.period.day_of(at), rng)
    if base["auth_method"] == "key":
        base["auth_method"] = "password"  # a key is not what gets phished
    resource = "sso-portal" if rng.random() < 0.5 else usual_resource(rng, user)
    out = []
    if rng.random() < 0.1:
        out.append(login(user, base, at, "failure", resource))
        at += rng.uniform(5, 40)
    out.append(login(user, base, at, "success", resource))
    return out + visit(scene, user, base, at, care, steps)


def shared_fields(draft: Draft) -> Fields:
    """The fields of an ordinary event that the other events of its session have too."""
    base = {name: value for name, value in draft.fields.items() if name not in ABOUT_EVENT}
    if base.get("auth_method") == "mfa":
        base["auth_method"] = "password"
    return base


def labelled(drafts: list[Draft], label: str, *keep: str) -> list[Draft]:
    """The drafts as a campaign of type `label`; no source loses the fields it is about."""
    return [replace(draft, label=label, keep=frozenset(keep)) for draft in drafts]
