"""The company, its people and what they ordinarily do, cut to an exact number of events."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tuning.synthetic.behaviour import Period, Session, ordinary_sessions, service_sessions
from tuning.synthetic.draft import Draft
from tuning.synthetic.organisation import Organisation, make_organisation
from tuning.synthetic.people import User, make_users

SERVICE_ACCOUNTS = ("backup", "etl", "billing", "deploy", "scanner", "sync", "report", "archive")
MIN_USERS = 5
USERS_PER_SERVICE_ACCOUNT = 30
MAX_PASSES = 50
MAX_EXTRA = 0.35  # of all ordinary events, those of benign oddities


@dataclass(frozen=True, slots=True)
class Phase:
    """The days [first_day, last_day) on which the company and its people stay as they are."""

    organisation: Organisation
    users: tuple[User, ...]
    first_day: int
    last_day: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something benign that is different for `users` people from `day` of the period on."""

    kind: str
    day: int
    users: int


@dataclass(frozen=True, slots=True)
class World:
    """A company over a period, in one phase or in two with `changes` between them."""

    phases: tuple[Phase, ...]
    period: Period
    changes: tuple[Change, ...] = ()

    @property
    def users(self) -> tuple[User, ...]:
        """The people as they are at first; all phases have the same ones."""
        return self.phases[0].users

    def phase_at(self, at: float) -> Phase:
        """The phase of a time in seconds since 1970, the last one for any later time."""
        day = self.period.day_of(at)
        return next((p for p in self.phases if day < p.last_day), self.phases[-1])

    def service_accounts(self) -> list[str]:
        """User ids of the accounts that are no person's; none in a small company."""
        count = min(len(SERVICE_ACCOUNTS), len(self.users) // USERS_PER_SERVICE_ACCOUNT)
        domain = self.phases[0].organisation.domain
        return [f"svc-{name}@{domain}" for name in SERVICE_ACCOUNTS[:count]]


@dataclass(frozen=True, slots=True)
class Ordinary:
    """Exactly the ordinary events asked for, and `spare` sessions of the same kind."""

    drafts: list[Draft]
    spare: list[Session]


def make_world(rng: random.Random, *, seed: int, period: Period, users: int) -> World:
    """A world that depends on `rng` and `seed` alone; the domain keeps other seeds' users apart."""
    organisation = make_organisation(rng, f"org{seed}.example")
    count = max(MIN_USERS, users)
    people = make_users(rng, organisation, count, start=period.start, days=period.days)
    return World((Phase(organisation, tuple(people), 0, period.days),), period)


def ordinary_events(
    rng: random.Random, world: World, count: int, extra: Sequence[Session] = ()
) -> Ordinary:
    """`count` ordinary events: service accounts and `extra` whole, then sessions at random."""
    drafts = [draft for session in _service(rng, world) for draft in session][: count // 10]
    most = len(drafts) + MAX_EXTRA * count
    for session in extra:
        if len(drafts) + len(session) <= most:
            drafts += session
    sessions = _people(rng, world, count)
    rng.shuffle(sessions)
    while sessions and len(drafts) < count:
        drafts += sessions.pop()
    return Ordinary(drafts[:count], sessions)


def _service(rng: random.Random, world: World) -> list[Session]:
    place = world.phases[0].organisation.server_room
    return [
        session
        for user_id in world.service_accounts()
        for session in service_sessions(rng, place, user_id, world.period)
    ]


def _people(rng: random.Random, world: World, enough: int) -> list[Session]:
    """Sessions of everyone, with at least `enough` events together."""
    sessions: list[Session] = []
    for _ in range(MAX_PASSES):
        for phase in world.phases:
            days = {"first_day": phase.first_day, "last_day": phase.last_day}
            for user in phase.users:
                sessions += ordinary_sessions(rng, phase.organisation, user, world.period, **days)
        if sum(map(len, sessions)) >= 1.05 * enough:
            break
    return sessions
