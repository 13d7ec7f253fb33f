"""Ordinary days: what people and service accounts do when nothing is wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tuning.synthetic.causes import MONTH_END, STALE_PHONE, circumstance
from tuning.synthetic.devices import Device
from tuning.synthetic.draft import Draft, Fields, place_fields
from tuning.synthetic.geography import Place, tunnel_exit
from tuning.synthetic.organisation import COMPANY_WIDE, DEPARTMENTS, PROJECTS, Organisation
from tuning.synthetic.people import DAY_S, HOUR_S, User

Session = list[Draft]

BY_HELP_DESK = 0.35
ACCOUNT_PAGE = "security-info"  # where people manage their password and second factor
OPEN_PROJECTS = 12  # of the projects, those the whole company may look into


@dataclass(frozen=True, slots=True)
class Period:
    """The days being simulated; `start` is a midnight UTC in seconds since 1970, a Monday."""

    start: float
    days: int

    def day_of(self, at: float) -> int:
        """Number of the day `at` falls on, 0 for the first."""
        return int((at - self.start) // DAY_S)

    def moment(self, user: User, day: int, hour: float) -> float:
        """Seconds since 1970 of a local hour of the user's day; beyond 24 is the next morning."""
        return self.start + day * DAY_S + (hour - user.home.utc_offset_h) * HOUR_S

    def closes_books(self, day: int) -> bool:
        """Whether the day is one of the last two or the first of a month."""
        date = datetime.fromtimestamp(self.start + day * DAY_S, UTC)
        return date.day == 1 or (date + timedelta(days=2)).day <= 2


def ordinary_sessions(
    rng: random.Random,
    organisation: Organisation,
    user: User,
    period: Period,
    *,
    first_day: int = 0,
    last_day: int = 10_000,
) -> Iterator[Session]:
    """The user's sessions on the days [first_day, last_day), one list of events each."""
    for day in range(max(first_day, user.first_day), min(last_day, period.days)):
        if user.is_absent(day):
            continue
        at_office = user.office is not None and rng.random() < 0.6
        for start in _session_starts(rng, user, period, day):
            device = rng.choice(user.in_use(day))
            place = place_of(rng, organisation, user, device, start, day, at_office=at_office)
            if place is not None:
                session = _session(rng, user, device, place, start, day, period)
                yield explained(session, circumstance(user, device, place, start, day))
        yield from _background(rng, user, period, day)


def explained(session: Session, cause: str) -> Session:
    """The session, every event without a cause of its own given this one."""
    for draft in session:
        draft.cause = draft.cause or cause
    return session


def _session_starts(rng: random.Random, user: User, period: Period, day: int) -> list[float]:
    rhythm = user.rhythm
    offset_h = user.home.utc_offset_h
    trip = user.trip_at(period.start + day * DAY_S + 12 * HOUR_S)
    if trip is not None:
        offset_h = trip.city.utc_offset_h
    midnight = period.start + day * DAY_S - offset_h * HOUR_S
    if day % 7 not in rhythm.weekdays:
        hours = [_any_hour(rng, user)] if rng.random() < 0.04 else []
    else:
        hours = [rhythm.start_h + abs(rng.gauss(0, 0.4))] if rng.random() < 0.92 else []
        extra = rng.choices((0, 1, 2, 3), (0.35, 0.35, 0.2, 0.1))[0]
        hours += [_any_hour(rng, user) for _ in range(extra)]
        if rng.random() > user.intensity:
            hours = hours[:1]
    return [midnight + hour * HOUR_S for hour in hours]


def _any_hour(rng: random.Random, user: User) -> float:
    """Usually inside the working window, sometimes a while before or after it."""
    rhythm = user.rhythm
    if rng.random() < 0.07:
        return rhythm.end_h + min(2.5, rng.expovariate(1.2))
    if rng.random() < 0.03:
        return rhythm.start_h - min(2.0, rng.expovariate(1.5))
    return rng.uniform(rhythm.start_h, rhythm.end_h - 0.5)


def place_of(
    rng: random.Random,
    organisation: Organisation,
    user: User,
    device: Device,
    at: float,
    day: int,
    *,
    at_office: bool,
) -> Place | None:
    """Where the user is; None while on the way somewhere."""
    trip = user.trip_at(at)
    if trip is not None:
        return trip.hotel if trip.arrives <= at < trip.starts_back else None
    if device.is_phone and rng.random() < 0.6:
        return user.on_mobile(rng)
    if at_office and user.office is not None and user.rhythm.hours_outside(user.local_hour(at)) < 1:
        return user.office.egress
    if rng.random() < user.vpn_share:
        return organisation.vpn_exits[user.salt % len(organisation.vpn_exits)]
    if user.tunnel_share and rng.random() < user.tunnel_share:
        return tunnel_exit(rng, country=user.home.country if rng.random() < 0.4 else "")
    return user.household(day)


def _session(
    rng: random.Random,
    user: User,
    device: Device,
    place: Place,
    start: float,
    day: int,
    period: Period,
) -> Session:
    base = context(user, device, place, day, rng)
    events, at = _sign_in(rng, user, base, start)
    for _ in range(rng.choices((0, 1, 2, 3, 5), (0.12, 0.3, 0.28, 0.2, 0.1))[0]):
        at += rng.lognormvariate(5.6, 1.1)
        events.append(_activity(rng, user, base, at, month_end=_month_end(user, period, day)))
    if rng.random() < 0.2:
        at += rng.lognormvariate(6.0, 0.8)
        events.append(Draft(at, user.user_id, {**base, "action": "logout", "outcome": "success"}))
    return events


def context(user: User, device: Device, place: Place, day: int, rng: random.Random) -> Fields:
    """The fields all events of one session share."""
    return {
        "auth_kind": "interactive",
        **place_fields(place),
        "device_id": device.device_id,
        "user_agent": device.user_agent(day),
        "session_id": f"{rng.getrandbits(64):016x}",
        "auth_method": "password" if device.is_phone and user.auth == "key" else user.auth,
    }


def login(user: User, base: Fields, at: float, outcome: str, resource: str) -> Draft:
    """A sign-in attempt in the given context."""
    fields: Fields = {**base, "action": "login", "outcome": outcome, "resource": resource}
    if outcome == "success" and fields["auth_kind"] == "interactive":
        fields["mfa"] = fields["auth_method"] != "key"
    return Draft(at, user.user_id, fields)


def _sign_in(rng: random.Random, user: User, base: Fields, at: float) -> tuple[Session, float]:
    """Typing errors, the login, now and then the second factor as an event of its own."""
    resource = "sso-portal" if rng.random() < 0.5 else usual_resource(rng, user)
    typos = rng.choices((0, 1, 2, 3), (0.86, 0.09, 0.035, 0.015))[0]
    told = rng.random() < 0.5
    events = []
    for number in range(typos + 1):
        draft = login(user, base, at, "failure" if number < typos else "success", resource)
        if told:
            draft.fields["failed_attempts"] = min(number + 1, typos)
        events.append(draft)
        at += rng.uniform(4, 40)
    if base["auth_method"] == "password" and rng.random() < 0.5:
        outcome = "failure" if rng.random() < 0.05 else "success"
        events.append(second_factor(user, base, at, outcome))
    return events, at


def second_factor(user: User, base: Fields, at: float, outcome: str) -> Draft:
    """The second factor asked for and given, or not."""
    fields: Fields = {**base, "action": "mfa", "outcome": outcome, "auth_method": "mfa"}
    fields["mfa"] = outcome == "success"
    return Draft(at, user.user_id, fields)


def factor_change(rng: random.Random, user: User, base: Fields, at: float) -> Session:
    """The second factor given up, in an `mfa` event that no factor confirmed.

    By the user, mostly after a sign-in, or by a help desk, which leaves no place and no device.
    """
    method = "password" if base.get("auth_method") in {"key", "token"} else base["auth_method"]
    by_help_desk = rng.random() < BY_HELP_DESK
    fields: Fields = {"auth_kind": base["auth_kind"]} if by_help_desk else {**base}
    fields |= {"action": "mfa", "outcome": "success", "auth_method": method}
    fields |= {"mfa": False, "resource": ACCOUNT_PAGE}
    out = [Draft(at + rng.uniform(30, 300), user.user_id, fields)]
    if not by_help_desk and rng.random() < 0.9:
        out.insert(0, login(user, base, at, "success", "sso-portal"))
    return out


def _activity(rng: random.Random, user: User, base: Fields, at: float, *, month_end: bool) -> Draft:
    if rng.random() < (0.5 if month_end else 0.27):
        size = usual_bytes(rng, user, boost=1.0 if month_end else 0.0)
        moved = transfer(user, base, at, usual_resource(rng, user), size)
        moved.cause = MONTH_END if month_end else ""
        return moved
    outcome = "failure" if rng.random() < 0.03 else "success"
    return access(rng, user, base, at, _visited(rng, user), outcome)


def access(
    rng: random.Random, user: User, base: Fields, at: float, resource: str, outcome: str
) -> Draft:
    """Opening a resource; some applications log how much they sent."""
    fields: Fields = {**base, "action": "access", "outcome": outcome, "resource": resource}
    if rng.random() < 0.3:
        fields["bytes_transferred"] = int(rng.lognormvariate(user.log_bytes - 3, 1.0))
    return Draft(at, user.user_id, fields)


def transfer(user: User, base: Fields, at: float, resource: str, size: int) -> Draft:
    """Moving `size` bytes to or from a resource."""
    fields: Fields = {**base, "action": "transfer", "outcome": "success", "resource": resource}
    fields["bytes_transferred"] = size
    return Draft(at, user.user_id, fields)


def usual_resource(rng: random.Random, user: User) -> str:
    """One of the user's own resources, favourites first."""
    return rng.choices(user.resources, user.resource_weights)[0]


def _visited(rng: random.Random, user: User) -> str:
    """Mostly a usual resource; now and then the first visit to one that suits the user."""
    if rng.random() > 0.03:
        return usual_resource(rng, user)
    return rng.choice(suitable_resources(user))


def suitable_resources(user: User) -> tuple[str, ...]:
    """What the user may visit for the first time without anybody wondering."""
    return COMPANY_WIDE + DEPARTMENTS[user.department] + PROJECTS[:OPEN_PROJECTS]


def usual_bytes(rng: random.Random, user: User, *, boost: float = 0.0) -> int:
    """A transfer of the user's usual size; one in fifty is several times larger."""
    tail = rng.expovariate(1.2) if rng.random() < 0.02 else 0.0
    return int(rng.lognormvariate(user.log_bytes + boost + tail, user.log_bytes_sd))


def _month_end(user: User, period: Period, day: int) -> bool:
    return user.month_end and period.closes_books(day)


def _background(rng: random.Random, user: User, period: Period, day: int) -> Iterator[Session]:
    """What devices do by themselves: token refreshes at any hour, stale passwords on phones."""
    for _ in range(rng.choices((0, 1, 2), (0.6, 0.3, 0.1))[0]):
        at = period.start + (day + rng.random()) * DAY_S
        if user.trip_at(at) is None:
            yield [_refresh(rng, user, at, day, "success")]
    if rng.random() < 0.004:
        at = period.start + (day + rng.random()) * DAY_S
        gap = rng.uniform(900, 3600)
        tries = rng.randrange(3, 9)
        refused = [_refresh(rng, user, at + n * gap, day, "failure") for n in range(tries)]
        yield explained(refused, STALE_PHONE)


def _refresh(rng: random.Random, user: User, at: float, day: int, outcome: str) -> Draft:
    device = rng.choice(user.in_use(day))
    place = user.on_mobile(rng) if device.is_phone else user.household(day)
    fields = context(user, device, place, day, rng)
    fields |= {"auth_kind": "token", "auth_method": "token", "action": "login", "outcome": outcome}
    fields["resource"] = "mail"
    return Draft(at, user.user_id, fields)


def service_sessions(
    rng: random.Random, place: Place, user_id: str, period: Period
) -> Iterator[Session]:
    """A service account: the same job at the same minute, a little late now and then."""
    every = rng.choice((6.0, 8.0, 12.0, 24.0)) * HOUR_S
    at = period.start + rng.random() * every
    size = rng.lognormvariate(18, 1.5)
    resource = rng.choice(("backup-vault", "dataset-lake", "ledger", "crm"))
    base: Fields = {"auth_kind": "service", **place_fields(place)}
    base |= {"auth_method": "key", "resource": resource}
    while at < period.start + period.days * DAY_S:
        start = at + rng.expovariate(1 / 20)
        moved: Fields = {"bytes_transferred": int(size * rng.lognormvariate(0, 0.1))}
        yield [
            Draft(start, user_id, {**base, "action": "login", "outcome": "success"}),
            Draft(
                start + rng.uniform(20, 90),
                user_id,
                {**base, "action": "transfer", "outcome": "success", **moved},
            ),
        ]
        at += every
