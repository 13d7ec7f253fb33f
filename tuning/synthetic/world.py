"""The company, its people and its ordinary month, cut to an exact number of events."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime

from tuning.synthetic.behaviour import Period, Session, ordinary_sessions, service_sessions
from tuning.synthetic.draft import Draft
from tuning.synthetic.organisation import Organisation, make_organisation
from tuning.synthetic.people import User, make_users

# a Monday in June: no change of clocks within the period, and always in the past
START = datetime(2025, 6, 2, tzinfo=UTC).timestamp()
SERVICE_ACCOUNTS = ("backup", "etl", "billing", "deploy", "scanner", "sync", "report", "archive")
MIN_USERS = 5
USERS_PER_SERVICE_ACCOUNT = 30
MAX_PASSES = 50


@dataclass(frozen=True, slots=True)
class World:
    """A company over a period; `domain` in every user id keeps sets of other seeds apart."""

    organisation: Organisation
    users: tuple[User, ...]
    period: Period


@dataclass(frozen=True, slots=True)
class Ordinary:
    """Exactly the ordinary events asked for, and `spare` sessions of the same kind."""

    drafts: list[Draft]
    spare: list[Session]


def make_world(rng: random.Random, *, seed: int, days: int, users: int) -> World:
    """A world that depends on `rng` and `seed` alone."""
    period = Period(START, days)
    organisation = make_organisation(rng, f"org{seed}.example")
    people = make_users(rng, organisation, max(MIN_USERS, users), start=START, days=days)
    return World(organisation, tuple(people), period)


def ordinary_events(rng: random.Random, world: World, count: int) -> Ordinary:
    """`count` ordinary events: service accounts whole, people's sessions drawn at random."""
    drafts = [draft for session in _service(rng, world) for draft in session][: count // 10]
    sessions = _people(rng, world, count)
    rng.shuffle(sessions)
    while sessions and len(drafts) < count:
        drafts += sessions.pop()
    return Ordinary(drafts[:count], sessions)


def _service(rng: random.Random, world: World) -> list[Session]:
    accounts = min(len(SERVICE_ACCOUNTS), len(world.users) // USERS_PER_SERVICE_ACCOUNT)
    return [
        session
        for name in SERVICE_ACCOUNTS[:accounts]
        for session in service_sessions(rng, world.organisation, name, world.period)
    ]


def _people(rng: random.Random, world: World, enough: int) -> list[Session]:
    """Sessions of everyone, with at least `enough` events together."""
    sessions: list[Session] = []
    for _ in range(MAX_PASSES):
        for user in world.users:
            sessions += ordinary_sessions(rng, world.organisation, user, world.period)
        if sum(map(len, sessions)) >= 1.05 * enough:
            break
    return sessions
