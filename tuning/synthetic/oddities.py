"""How many benign oddities of which kind there are in a set.

Most have a counterpart among the campaigns: that is what makes telling them apart worth something.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tuning.synthetic import signing_in, working
from tuning.synthetic.behaviour import Session
from tuning.synthetic.people import User
from tuning.synthetic.stage import Stage
from tuning.synthetic.world import World

Oddity = Callable[[Stage, User], Session]

# oddity and how many occurrences there are per user of the company
ODDITIES: tuple[tuple[Oddity, float], ...] = (
    (signing_in.forgotten_password, 0.15),
    (working.month_end, 1.0),
    (signing_in.missed_prompt, 0.13),
    (signing_in.new_phone, 1.0),
    (signing_in.stale_phone, 0.11),
    (working.service_admin, 0.13),
    (working.night_shift, 0.08),
    (working.new_hire, 1.0),
    (working.new_project, 0.12),
    (working.deadline, 0.12),
    (working.roaming_session, 0.13),
    (working.app_sync, 0.8),
    (working.automation, 0.12),
)


def oddities(rng: random.Random, world: World) -> list[Session]:
    """Every occurrence in the world, as many of each kind as its share of the users says."""
    accounts = tuple(world.service_accounts())
    out: list[Session] = []
    for phase in world.phases:
        stage = Stage(rng, phase, world.period, accounts)
        part = (phase.last_day - phase.first_day) / world.period.days
        for oddity, share in ODDITIES:
            want = round(share * part * len(phase.users)) if share < 1 else len(phase.users)
            out += _occurrences(stage, oddity, want)
        out += signing_in.expiry_wave(stage)
    return out


def _occurrences(stage: Stage, oddity: Oddity, want: int) -> list[Session]:
    out: list[Session] = []
    for user in stage.rng.sample(stage.phase.users, len(stage.phase.users)):
        if len(out) == want:
            break
        session = oddity(stage, user)
        if session:
            out.append(session)
    return out
