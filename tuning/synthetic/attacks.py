"""How many incidents of which kind go where in a set."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tuning.synthetic import campaigns, insiders, intrusions
from tuning.synthetic.anomalies import BASE_TYPES, CATEGORIES, Scene, incident
from tuning.synthetic.campaigns import Campaign
from tuning.synthetic.draft import LOSSY, Draft
from tuning.synthetic.intruders import labelled
from tuning.synthetic.people import DAY_S
from tuning.synthetic.ramps import RAMP, THEFT, creeps, lay_over, thefts
from tuning.synthetic.scenario import Scenario
from tuning.synthetic.world import World

# singles are somewhat more common than pairs
SINGLE_WEIGHT, PAIR_WEIGHT = 8.5, 5.75
MAX_MISSES = 25
# of an enterprise set's anomalous events: loose incidents beside the campaigns
INCIDENT_SHARE = 0.12
# events of a campaign: about its type's part of all, within bounds; a larger set has more campaigns
MIN_SIZE, USUAL_SIZE, MAX_SIZE = 8, 22, 60
MIN_CUT = 4  # the last campaign is cut short, but not to fewer events
# where something changes: attacks before it, in the days right after it, and later
CHANGE_DAYS = 3
BEFORE_SHARE, DURING_SHARE = 0.3, 0.2

CAMPAIGNS: tuple[Campaign, ...] = (
    campaigns.single_source_spray,
    campaigns.distributed_spray,
    campaigns.credential_stuffing,
    campaigns.brute_force,
    campaigns.mfa_fatigue,
    campaigns.account_takeover,
    insiders.service_account_misuse,
    insiders.low_and_slow_insider,
    insiders.lateral_movement,
    insiders.off_hours_bulk_transfer,
    intrusions.quiet_takeover,
    intrusions.dormant_account,
    intrusions.factor_reset,
    intrusions.token_replay,
)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the period, seconds since 1970, and how many anomalous events belong there."""

    since: float
    until: float
    events: int
    quiet: bool = False


def _stretches(scenario: Scenario, scene: Scene, events: int) -> list[Stretch]:
    """The quiet part with its few anomalous events, then the rest with all others."""
    start = scene.period.start
    end = start + scene.period.days * DAY_S
    turn = start + scenario.quiet_share * (end - start)
    calm = scene.timeline.count(start, turn)
    early = min(events, int(scenario.quiet_anomalies * calm))
    later = events - early
    parts = [Stretch(start, turn, early, quiet=True)]
    if scenario.change_day is None:
        parts.append(Stretch(turn, end, later))
    else:
        change = start + scenario.change_day * DAY_S
        settled = change + CHANGE_DAYS * DAY_S
        before, during = int(BEFORE_SHARE * later), int(DURING_SHARE * later)
        parts += [Stretch(turn, change, before), Stretch(change, settled, during)]
        parts.append(Stretch(settled, end, later - before - during))
    return [part for part in parts if part.events]


def _incidents(scene: Scene, stretch: Stretch, progress: Progress) -> list[Draft]:
    """At most `stretch.events` labelled events, shared out over the 15 categories."""
    out: list[Draft] = []
    for category, quota in _quotas(scene.rng, stretch.events):
        out += _of_category(scene, category, stretch, quota)
        progress(quota)
    return out


def attacks(
    scenario: Scenario, world: World, scene: Scene, events: int, progress: Progress
) -> list[Draft]:
    """At most `events` labelled events, and those of a ramp, which are ordinary ones relabelled."""
    if scenario.attacks == "thefts":
        return _thefts(scenario, scene, events, progress)
    out: list[Draft] = []
    for stretch in _stretches(scenario, scene, events):
        now = replace(scene, users=world.phase_at(stretch.since).users)
        out += _of_stretch(scenario, now, stretch, progress)
    return out


def _of_stretch(
    scenario: Scenario, scene: Scene, stretch: Stretch, progress: Progress
) -> list[Draft]:
    """The labelled events of one stretch; campaigns only outside the quiet part."""
    if scenario.attacks == "incidents" or stretch.quiet:
        return _incidents(scene, stretch, progress)
    joint = round((1 - INCIDENT_SHARE) * stretch.events)
    out = _campaigns(scene, replace(stretch, events=joint), progress)
    return out + _incidents(scene, replace(stretch, events=stretch.events - len(out)), progress)


def _thefts(scenario: Scenario, scene: Scene, events: int, progress: Progress) -> list[Draft]:
    """Thefts, the same ones whether a ramp prepares them or not."""
    out: list[Draft] = []
    plans = []
    for number, creep in enumerate(creeps(scene, events), 1):
        drafts = labelled(thefts(scene, creep), THEFT, *LOSSY)[: events - len(out)]
        if not drafts:
            break
        out += [replace(draft, campaign=f"{THEFT}-{number:03d}") for draft in drafts]
        plans.append(creep)
    # numbers of its own: what is drawn afterwards is the same with a ramp and without
    apart = replace(scene, rng=random.Random(scene.rng.random()))
    for number, creep in enumerate(plans if scenario.ramp else (), 1):
        for draft in lay_over(apart, creep):
            draft.label, draft.campaign = RAMP, f"{RAMP}-{number:03d}"
    progress(len(out))
    return out


def _campaigns(scene: Scene, stretch: Stretch, progress: Progress) -> list[Draft]:
    """Campaigns of every type in turn, each round in another order; the last one is cut short."""
    rng = scene.rng
    end = scene.period.start + scene.period.days * DAY_S
    out: list[Draft] = []
    number = misses = 0
    deck: list[Campaign] = []
    while stretch.events - len(out) >= MIN_CUT and misses < MAX_MISSES:
        deck = deck or rng.sample(CAMPAIGNS, len(CAMPAIGNS))
        campaign = deck.pop()
        drafts = campaign(scene, stretch.since, stretch.until, _size(rng, stretch))
        drafts = sorted((d for d in drafts if d.at < end), key=lambda draft: draft.at)
        drafts = drafts[: stretch.events - len(out)]
        if not drafts:
            deck.insert(0, campaign)
            misses += 1
        number += bool(drafts)
        out += [replace(draft, campaign=f"{draft.label}-{number:03d}") for draft in drafts]
        progress(len(drafts))
    return out


def _size(rng: random.Random, stretch: Stretch) -> int:
    """About how many events the next campaign may have; half as many to twice as many as usual."""
    usual = min(USUAL_SIZE, 0.85 * stretch.events / len(CAMPAIGNS))
    return round(max(MIN_SIZE, min(MAX_SIZE, usual * rng.lognormvariate(0, 0.4))))


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
