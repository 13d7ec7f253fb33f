"""Labelled synthetic events: `generate` makes them, `write` puts them into two CSV files.

Everything depends on scenario, number of events and seed alone: the same three give the same
bytes. User ids, devices and addresses differ from seed to seed, so that a set can be scored with
a model trained on another one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tuning.synthetic.anomalies import Scene
from tuning.synthetic.attacks import attacks, stretches
from tuning.synthetic.draft import Draft
from tuning.synthetic.scenario import SCENARIOS, Scenario, UnknownScenario, scenario_named
from tuning.synthetic.timeline import Timeline
from tuning.synthetic.world import World, make_world, ordinary_events
from tuning.synthetic.writer import EVENT_COLUMNS, LABEL_COLUMNS, Row, finished, write_csv

__all__ = [
    "MIN_EVENTS",
    "SCENARIOS",
    "Generated",
    "TooFewEvents",
    "UnknownScenario",
    "check",
    "generate",
    "write",
]

MIN_EVENTS = 100

Progress = Callable[[int], None]


class TooFewEvents(ValueError):
    """A set too small to hold a user's habits and something that breaks them."""

    def __init__(self, events: int) -> None:
        super().__init__(f"events must be at least {MIN_EVENTS}, got {events}")


@dataclass(frozen=True, slots=True)
class Generated:
    """Events (keys of the event contract, absent ones left out) and labels, by time."""

    events: list[Row]
    labels: list[Row]


def check(scenario: str, events: int) -> Scenario:
    """The scenario; raises `UnknownScenario` and `TooFewEvents` before any work is done."""
    plan = scenario_named(scenario)
    if events < MIN_EVENTS:
        raise TooFewEvents(events)
    return plan


def generate(
    scenario: str, *, events: int, seed: int, progress: Progress | None = None
) -> Generated:
    """A set of exactly `events` events; `progress` is told how many more are done.

    Raises `UnknownScenario` and `TooFewEvents`.
    """
    plan = check(scenario, events)
    tell = progress or (lambda _: None)
    rng = random.Random(f"{scenario}/{seed}")
    anomalous = round(events * plan.anomaly_share)
    users = round((events - anomalous) / plan.events_per_user)
    world = make_world(rng, seed=seed, days=plan.days, users=users)
    drafts = _drafts(rng, plan, world, events, anomalous, tell)
    offsets = {u.user_id: u.home.utc_offset_h for u in world.users if u.local_stamps}
    prefix = hashlib.sha256(f"{scenario}/{events}/{seed}".encode()).hexdigest()[:8]
    return Generated(*finished(drafts, rng, id_prefix=prefix, stamp_offsets=offsets))


def _drafts(
    rng: random.Random,
    plan: Scenario,
    world: World,
    events: int,
    anomalous: int,
    tell: Progress,
) -> list[Draft]:
    ordinary = ordinary_events(rng, world, events - anomalous)
    drafts = ordinary.drafts
    tell(len(drafts))
    scene = Scene(rng, world.users, Timeline(drafts), world.period)
    for stretch in stretches(plan, scene, drafts, anomalous):
        drafts = drafts + attacks(plan, scene, stretch, tell)
    while len(drafts) < events and ordinary.spare:
        drafts += ordinary.spare.pop()
    return drafts[:events]


def write(
    out: Path, scenario: str, *, events: int, seed: int, progress: Progress | None = None
) -> Generated:
    """Write `events.csv` and `labels.csv` into the directory `out`, made when missing.

    Raises what `generate` raises, and `OSError` when the files cannot be written.
    """
    generated = generate(scenario, events=events, seed=seed, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "events.csv", EVENT_COLUMNS, generated.events)
    write_csv(out / "labels.csv", LABEL_COLUMNS, generated.labels)
    return generated
