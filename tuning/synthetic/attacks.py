"""How many incidents of which kind go where in a set."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuning.synthetic.anomalies import BASE_TYPES, CATEGORIES, Scene, incident
from tuning.synthetic.draft import Draft
from tuning.synthetic.people import DAY_S
from tuning.synthetic.scenario import Scenario

# singles are somewhat more common than pairs
SINGLE_WEIGHT, PAIR_WEIGHT = 8.5, 5.75
MAX_MISSES = 25

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the period, seconds since 1970, and how many anomalous events belong there."""

    since: float
    until: float
    events: int


def stretches(
    scenario: Scenario, scene: Scene, drafts: Sequence[Draft], events: int
) -> list[Stretch]:
    """The quiet part with its few anomalous events, then the rest with all others."""
    start = scene.period.start
    end = start + scene.period.days * DAY_S
    turn = start + scenario.quiet_share * (end - start)
    calm = sum(draft.at < turn for draft in drafts)
    early = min(events, int(scenario.quiet_anomalies * calm))
    parts = [Stretch(start, turn, early), Stretch(turn, end, events - early)]
    return [part for part in parts if part.events]


def incidents(scene: Scene, stretch: Stretch, progress: Progress) -> list[Draft]:
    """At most `stretch.events` labelled events, shared out over the 15 categories."""
    out: list[Draft] = []
    for category, quota in _quotas(scene.rng, stretch.events):
        out += _of_category(scene, category, stretch, quota)
        progress(quota)
    return out


def _of_category(scene: Scene, category: str, stretch: Stretch, quota: int) -> list[Draft]:
    out: list[Draft] = []
    misses = 0
    while len(out) < quota and misses < MAX_MISSES:
        events = incident(scene, category, stretch.since, stretch.until)
        misses += not events
        out += events
    return out[:quota]


def _quotas(rng: random.Random, events: int) -> list[tuple[str, int]]:
    """How many events of each category; the shares add up to `events`."""
    weights = [SINGLE_WEIGHT if name in BASE_TYPES else PAIR_WEIGHT for name in CATEGORIES]
    total = sum(weights)
    quotas = [int(events * weight / total) for weight in weights]
    for index in rng.sample(range(len(quotas)), events - sum(quotas)):
        quotas[index] += 1
    return list(zip(CATEGORIES, quotas, strict=True))
