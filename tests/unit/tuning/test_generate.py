import csv
import itertools
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from preprocessing.event import AuthEvent
from preprocessing.sources.base import SourceOptions
from preprocessing.sources.native_csv import read
from tuning.generate import (
    MIN_EVENTS,
    SCENARIOS,
    Generated,
    TooFewEvents,
    UnknownScenario,
    generate,
    write,
)
from tuning.synthetic.anomalies import BASE_TYPES, CATEGORIES
from tuning.synthetic.writer import EVENT_COLUMNS


def _anomalous(generated: Generated) -> list[int]:
    return [int(label["is_anomaly"]) for label in generated.labels]


def _times(generated: Generated) -> list[float]:
    return [datetime.fromisoformat(str(e["timestamp"])).timestamp() for e in generated.events]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("events", [MIN_EVENTS, 101, 2_500])
def test_exactly_as_many_events_as_asked_for(scenario: str, events: int) -> None:
    generated = generate(scenario, events=events, seed=5)
    assert len(generated.events) == len(generated.labels) == events


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_sorted_by_time_and_labels_in_the_same_order(scenario: str) -> None:
    generated = generate(scenario, events=1_500, seed=2)
    times = _times(generated)
    assert times == sorted(times)
    ids = [event["event_id"] for event in generated.events]
    assert ids == [label["event_id"] for label in generated.labels]
    assert len(set(ids)) == len(ids)


def test_same_seed_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tuning.generate import write; "
        "[write(pathlib.Path(sys.argv[1], name), name, events=3000, seed=9, anomaly_share=0.05)"
        " for name in ('enterprise', 'drift', 'poison')]"
    )
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code, str(tmp_path / hash_seed)]
        subprocess.run(command, check=True, env=env, cwd=Path(__file__).parents[3])
    for name in ("events.csv", "labels.csv", "scenario.json"):
        for set_ in ("enterprise", "drift", "poison"):
            one, two = (tmp_path / run / set_ / name for run in ("1", "2"))
            assert one.read_bytes() == two.read_bytes(), (set_, name)


def test_another_seed_has_other_users_devices_and_ids() -> None:
    one, two = (generate("seedlike", events=1_000, seed=seed).events for seed in (1, 2))
    for column in ("event_id", "user_id", "device_id", "session_id"):
        assert not {e.get(column, 1) for e in one} & {e.get(column, 2) for e in two}, column


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_event_is_accepted_by_the_decoder(scenario: str, tmp_path: Path) -> None:
    write(tmp_path, scenario, events=2_000, seed=4)
    now_s = datetime.fromisoformat("2026-01-01T00:00:00Z").timestamp()
    lines = (tmp_path / "events.csv").read_bytes().splitlines(keepends=True)
    items = list(read(lines, options=SourceOptions(now_s=now_s)))
    assert len(items) == 2_000
    assert all(isinstance(item, AuthEvent) for item in items)


def test_files_have_the_columns_of_the_contract(tmp_path: Path) -> None:
    write(tmp_path / "new" / "set", "seedlike", events=200, seed=0)
    with (tmp_path / "new" / "set" / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == EVENT_COLUMNS
    assert {row["mfa"] for row in rows} == {"", "true", "false"}
    with (tmp_path / "new" / "set" / "labels.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert header == ["event_id", "is_anomaly", "anomaly_type", "campaign_id", "cause"]


def test_seedlike_has_16_categories_and_40_percent_anomalies() -> None:
    generated = generate("seedlike", events=10_000, seed=1)
    counts = Counter(str(label["anomaly_type"]) for label in generated.labels)
    assert set(counts) == {"normal", *CATEGORIES}
    assert len(counts) == 16
    assert counts["normal"] == 6_000
    assert all(counts[name] > 300 for name in BASE_TYPES)


@pytest.mark.parametrize(
    ("scenario", "low", "high"), [("seedlike", 0, 0.02), ("seedlike-dirty", 0.3, 0.5)]
)
def test_share_of_anomalies_in_the_first_quarter(scenario: str, low: float, high: float) -> None:
    generated = generate(scenario, events=10_000, seed=3)
    times, anomalous = _times(generated), _anomalous(generated)
    turn = times[0] + 0.25 * (times[-1] - times[0])
    early = [flag for time, flag in zip(times, anomalous, strict=True) if time < turn]
    assert low <= sum(early) / len(early) <= high


def test_intruders_act_between_the_users_own_events() -> None:
    generated = generate("seedlike", events=10_000, seed=1)
    by_user: dict[str, list[int]] = {}
    for event, flag in zip(generated.events, _anomalous(generated), strict=True):
        by_user.setdefault(str(event["user_id"]), []).append(flag)
    people = [flags for flags in by_user.values() if any(flags)]
    changes = [sum(a != b for a, b in itertools.pairwise(flags)) for flags in people]
    assert min(changes) >= 10


def test_progress_adds_up_to_the_number_of_events() -> None:
    done: list[int] = []
    generate("seedlike", events=1_000, seed=1, progress=done.append)
    assert sum(done) == 1_000


def test_unknown_scenario_names_the_known_ones() -> None:
    with pytest.raises(UnknownScenario, match="seedlike, seedlike-dirty, enterprise"):
        generate("nope", events=1_000, seed=1)


def test_too_few_events_says_how_many_it_takes() -> None:
    with pytest.raises(TooFewEvents, match="at least 100, got 99"):
        generate("seedlike", events=99, seed=1)
