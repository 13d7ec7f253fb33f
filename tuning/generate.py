"""Labelled synthetic events: `generate` makes them, `write` puts them into three files.

Everything depends on scenario, number of events, seed and share of anomalies alone: the same four
give the same bytes. User ids, devices and addresses differ from seed to seed, so that a set can be
scored with a model trained on another one. docs/scenarios.md says what is in which scenario.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuning.synthetic.anomalies import Scene
from tuning.synthetic.attacks import attacks
from tuning.synthetic.behaviour import Period, Session
from tuning.synthetic.changes import changed, explain
from tuning.synthetic.lives import settled
from tuning.synthetic.oddities import oddities
from tuning.synthetic.people import DAY_S
from tuning.synthetic.ramps import RAMP, RAMP_SHARE, THEFTS_FROM
from tuning.synthetic.scenario import SCENARIOS, Scenario, UnknownScenario, scenario_named
from tuning.synthetic.timeline import Timeline
from tuning.synthetic.world import World, make_world, ordinary_events
from tuning.synthetic.writer import EVENT_COLUMNS, LABEL_COLUMNS, Row, finished, write_csv

__all__ = [
    "MIN_EVENTS",
    "SCENARIOS",
    "BadShare",
    "Generated",
    "TooFewEvents",
    "UnknownScenario",
    "check",
    "generate",
    "write",
]

MIN_EVENTS = 100
MAX_SHARE = 0.5

Progress = Callable[[int], None]


class TooFewEvents(ValueError):
    """A set too small to hold a user's habits and something that breaks them."""

    def __init__(self, events: int) -> None:
        super().__init__(f"events must be at least {MIN_EVENTS}, got {events}")


class BadShare(ValueError):
    """A share of anomalous events that no set can have."""

    def __init__(self, share: float) -> None:
        super().__init__(f"the anomaly share must be in [0, {MAX_SHARE}], got {share}")


@dataclass(frozen=True, slots=True)
class Generated:
    """Events (keys of the event contract, absent ones left out) and labels, by time.

    `facts` say how the set was made and on which day something changes; JSON values only.
    """

    events: list[Row]
    labels: list[Row]
    facts: dict[str, Any]


def check(scenario: str, events: int, anomaly_share: float | None = None) -> Scenario:
    """The scenario with the share, if one is given.

    Raises `UnknownScenario`, `TooFewEvents` and `BadShare` before any work is done.
    """
    plan = scenario_named(scenario)
    if events < MIN_EVENTS:
        raise TooFewEvents(events)
    if anomaly_share is None:
        return plan
    if not 0 <= anomaly_share <= MAX_SHARE:
        raise BadShare(anomaly_share)
    return replace(plan, anomaly_share=anomaly_share)


def generate(
    scenario: str,
    *,
    events: int,
    seed: int,
    anomaly_share: float | None = None,
    progress: Progress | None = None,
) -> Generated:
    """A set of exactly `events` events; `progress` is told how many more are done.

    `anomaly_share` in [0, 0.5] replaces the scenario's own. Raises what `check` raises.
    """
    plan = check(scenario, events, anomaly_share)
    tell = progress or (lambda _: None)
    name = plan.twin or scenario
    rng = random.Random(f"{name}/{seed}")
    anomalous = round(events * plan.anomaly_share)
    world, extra = _world(rng, plan, name=name, seed=seed, ordinary=events - anomalous)
    ordinary = ordinary_events(rng, world, events - anomalous, extra)
    drafts = ordinary.drafts
    explain(world, drafts)
    tell(len(drafts))
    scene = Scene(rng, world.users, Timeline(drafts), world.period)
    drafts += attacks(plan, world, scene, anomalous, tell)
    while len(drafts) < events and ordinary.spare:
        drafts += ordinary.spare.pop()
    offsets = {u.user_id: u.home.utc_offset_h for u in world.users if u.local_stamps}
    own_share = "" if anomaly_share is None else f"/{anomaly_share}"
    prefix = hashlib.sha256(f"{scenario}/{events}/{seed}{own_share}".encode()).hexdigest()[:8]
    rows, labels = finished(drafts[:events], rng, id_prefix=prefix, stamp_offsets=offsets)
    facts = {"scenario": scenario, "seed": seed, **_facts(plan, world, labels)}
    return Generated(rows, labels, facts)


def _world(
    rng: random.Random, plan: Scenario, *, name: str, seed: int, ordinary: int
) -> tuple[World, list[Session]]:
    """The company and, if it is a lively one, the sessions of its benign oddities."""
    period = Period(plan.start.timestamp(), plan.days)
    world = make_world(rng, seed=seed, period=period, users=round(ordinary / plan.events_per_user))
    if not plan.lively:
        return world, []
    chance = random.Random(f"{name}/{seed}/lives")
    world = settled(chance, world)
    if plan.change_day is not None:
        world = changed(chance, world, plan.change_day)
    return world, oddities(chance, world)


def _facts(plan: Scenario, world: World, labels: list[Row]) -> dict[str, Any]:
    """What scenario.json says of a set; times are RFC 3339, UTC."""
    length = world.period.days

    def on(day: float) -> str:
        moment = datetime.fromtimestamp(world.period.start + day * DAY_S, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    campaigns = {str(row["campaign_id"]): str(row["anomaly_type"]) for row in labels}
    campaigns.pop("", None)
    ramp = {"from": on(RAMP_SHARE[0] * length), "until": on(RAMP_SHARE[1] * length)}
    return {
        "events": len(labels),
        "anomalous": sum(int(row["is_anomaly"]) for row in labels),
        "anomaly_share": plan.anomaly_share,
        "users": len(world.users),
        "start": on(0),
        "end": on(length),
        "quiet_until": on(plan.quiet_share * length),
        "changes": [{"kind": c.kind, "at": on(c.day), "users": c.users} for c in world.changes],
        "ramp": ramp if RAMP in campaigns.values() else None,
        "thefts_from": on(THEFTS_FROM * length) if plan.attacks == "thefts" else None,
        "campaigns": dict(sorted(Counter(campaigns.values()).items())),
        "causes": dict(
            sorted(Counter(str(row["cause"]) for row in labels if row["cause"]).items())
        ),
    }


def write(
    out: Path,
    scenario: str,
    *,
    events: int,
    seed: int,
    anomaly_share: float | None = None,
    progress: Progress | None = None,
) -> Generated:
    """Write `events.csv`, `labels.csv` and `scenario.json` into `out`, made when missing.

    Raises what `generate` raises, and `OSError` when the files cannot be written.
    """
    generated = generate(
        scenario, events=events, seed=seed, anomaly_share=anomaly_share, progress=progress
    )
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "events.csv", EVENT_COLUMNS, generated.events)
    write_csv(out / "labels.csv", LABEL_COLUMNS, generated.labels)
    facts = json.dumps(generated.facts, indent=2) + "\n"
    (out / "scenario.json").write_text(facts, encoding="utf-8")
    return generated
