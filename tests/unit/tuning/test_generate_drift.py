"""What `drift`, `poison` and `poison-control` promise, and what scenario.json says of them."""

import json
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from statistics import median

import pytest

from tuning.generate import BadShare, Generated, generate, write
from tuning.synthetic import causes
from tuning.synthetic.writer import Row

DAY_S = 86_400.0
CHANGES = (causes.BROWSER_UPDATE, causes.NEW_VPN, causes.OFFICE_MOVE, causes.REORGANISATION)


def _time(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


@pytest.fixture(scope="module")
def drift() -> Generated:
    return generate("drift", events=30_000, seed=5)


@pytest.fixture(scope="module")
def poison() -> Generated:
    return generate("poison", events=20_000, seed=5)


@pytest.fixture(scope="module")
def control() -> Generated:
    return generate("poison-control", events=20_000, seed=5)


def _change_at(generated: Generated) -> float:
    (at,) = {_time(change["at"]) for change in generated.facts["changes"]}
    return at


def test_everything_changes_on_the_day_that_is_told(drift: Generated) -> None:
    change = _change_at(drift)
    first: dict[str, float] = {}
    for event, label in zip(drift.events, drift.labels, strict=True):
        first.setdefault(str(label["cause"]), _time(event["timestamp"]))
    assert {c["kind"] for c in drift.facts["changes"]} == set(CHANGES)
    for kind in CHANGES:
        assert change - 0.5 * DAY_S < first[kind] < change + 3 * DAY_S, kind


def test_a_change_brings_addresses_browsers_and_resources_that_are_new(drift: Generated) -> None:
    change = _change_at(drift)
    seen: dict[str, set[object]] = defaultdict(set)
    for event in drift.events:
        if _time(event["timestamp"]) < change - 0.5 * DAY_S:
            for column in ("source_ip", "user_agent"):
                seen[column].add(event.get(column))
            seen["resource"].add((event["user_id"], event.get("resource")))
    labelled = list(zip(drift.events, drift.labels, strict=True))
    for kind, column in (("office_move", "source_ip"), ("new_vpn", "source_ip")):
        mine = {e[column] for e, label in labelled if label["cause"] == kind and column in e}
        assert mine
        assert mine.isdisjoint(seen[column])
    updated = [e.get("user_agent") for e, label in labelled if label["cause"] == "browser_update"]
    assert sum(agent not in seen["user_agent"] for agent in updated) > 0.6 * len(updated)
    moved = [e for e, label in labelled if label["cause"] == "reorganisation" and "resource" in e]
    new = [e for e in moved if (e["user_id"], e["resource"]) not in seen["resource"]]
    assert len(new) > 0.8 * len(moved)


def test_attacks_before_during_and_after_the_change(drift: Generated) -> None:
    change = _change_at(drift)
    quiet = _time(drift.facts["quiet_until"])
    starts: dict[object, float] = {}
    for event, label in zip(drift.events, drift.labels, strict=True):
        if label["campaign_id"]:
            starts.setdefault(label["campaign_id"], _time(event["timestamp"]))
    parts = Counter(
        "before" if at < change else "during" if at < change + 3 * DAY_S else "after"
        for at in starts.values()
    )
    assert min(starts.values()) >= quiet - DAY_S
    assert set(parts) == {"before", "during", "after"}


def _thefts(generated: Generated) -> list[Row]:
    rows = zip(generated.events, generated.labels, strict=True)
    return [
        {name: value for name, value in event.items() if name != "event_id"}
        | {"campaign": label["campaign_id"]}
        for event, label in rows
        if label["anomaly_type"] == "data_theft"
    ]


def test_ramps_take_events_without_a_session(poison: Generated) -> None:
    """This seed leads one who forgot a password, which no session holds, to another place."""
    generated = generate("poison", events=20_000, seed=10)
    assert len(_thefts(generated)) == len(_thefts(poison))


def test_the_same_thefts_with_a_ramp_and_without(poison: Generated, control: Generated) -> None:
    assert len(_thefts(poison)) == 60
    assert _thefts(poison) == _thefts(control)
    kinds = Counter(str(label["anomaly_type"]) for label in control.labels)
    assert set(kinds) == {"normal", "data_theft"}
    assert poison.facts["ramp"] is not None
    assert control.facts["ramp"] is None


def test_a_ramp_changes_the_events_of_the_thieves_alone(
    poison: Generated, control: Generated
) -> None:
    thieves = {event["user_id"] for event in _thefts(poison)}
    users = [Counter(event["user_id"] for event in made.events) for made in (poison, control)]
    assert users[0] == users[1]
    rows = zip(poison.events, poison.labels, strict=True)
    ramped = {event["user_id"] for event, label in rows if label["anomaly_type"] == "slow_ramp"}
    assert ramped == thieves


def test_the_ramp_creeps_up_and_the_thefts_come_after_it(poison: Generated) -> None:
    since, until = (_time(poison.facts["ramp"][end]) for end in ("from", "until"))
    middle = (since + until) / 2
    sizes: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for event, label in zip(poison.events, poison.labels, strict=True):
        at = _time(event["timestamp"])
        if label["anomaly_type"] == "data_theft":
            assert at > until
        elif label["anomaly_type"] == "slow_ramp":
            assert at >= since - DAY_S
            if event["action"] == "transfer" and "bytes_transferred" in event:
                size = float(event["bytes_transferred"])
                sizes[str(event["user_id"])][at >= middle].append(size)
    growth = [median(late) / median(early) for early, late in sizes.values() if early and late]
    assert len(growth) >= 4
    assert median(growth) > 3


def test_scenario_json_says_how_the_set_was_made(tmp_path: Path) -> None:
    made = write(tmp_path, "drift", events=2_000, seed=3, anomaly_share=0.01)
    facts = json.loads((tmp_path / "scenario.json").read_text())
    assert facts == made.facts
    assert (facts["scenario"], facts["seed"], facts["events"]) == ("drift", 3, 2_000)
    assert (facts["anomaly_share"], facts["anomalous"]) == (0.01, 20)
    assert (facts["start"], facts["end"]) == ("2025-05-26T00:00:00Z", "2025-07-07T00:00:00Z")
    assert {change["at"] for change in facts["changes"]} == {"2025-06-16T00:00:00Z"}


@pytest.mark.parametrize("share", [-0.1, 0.51, float("nan")])
def test_a_share_no_set_can_have_is_refused(share: float) -> None:
    with pytest.raises(BadShare, match=r"must be in \[0, 0.5\]"):
        generate("enterprise", events=1_000, seed=1, anomaly_share=share)
