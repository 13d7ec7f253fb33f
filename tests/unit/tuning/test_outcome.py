"""What a search leaves: files that say what happened, and pictures with something in them."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.base import Range
from preprocessing.event import AuthEvent
from preprocessing.history import FACTS
from preprocessing.trail import LENGTH, WIDTH
from tuning.counting import Users
from tuning.held_out import compared
from tuning.journal import Journal
from tuning.objective import Slices, TrialData
from tuning.outcome import BEST, TRIALS, summary, write
from tuning.plots import HISTORY, IMPORTANCE, PARALLEL, history, importance
from tuning.space import default_choice, space
from tuning.train import Habits, TrainingSettings

SETTINGS = TrainingSettings(detectors=("isolation_forest", "one_class_svm"))
RANGES = space(SETTINGS)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The default, then ten trials of each detector; those of the SVM with a small nu do best."""
    journal = Journal(tmp_path)
    default = default_choice(SETTINGS, RANGES)
    journal.add("default", "default", default, [_report(0.4, 100)], elapsed_s=5.0)
    for n in range(10):
        trees = {**default, "isolation_forest.n_trees": 50 + 30 * n}
        effort = 100 if n % 2 else 33
        journal.add(f"f{n}", "isolation_forest", trees, [_report(0.3, effort)], elapsed_s=6.0 + n)
        drawn = {**default, "one_class_svm.nu": 0.02 + 0.04 * n, "one_class_svm.width": 1.0 + n % 3}
        reports = [_report(0.3, 33), _report(0.5 - 0.04 * n, 100)]
        journal.add(f"s{n}", "one_class_svm", drawn, reports, elapsed_s=20.0 + n)
    journal.add("x", "together", default, [], elapsed_s=60.0, problem="failed")
    return journal


def _report(objective: float, effort: float) -> dict[str, float]:
    return {"objective": objective, "recall": objective, "alerts_per_1000": 20.0, "effort": effort}


@pytest.fixture
def parts() -> Slices:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    events = [AuthEvent(start + timedelta(hours=n), "ada", "success") for n in range(72)]
    return Slices(events[:48], events[48:60], events[60:])


@pytest.fixture
def data() -> TrialData:
    nothing = np.zeros((0, len(FACTS)))
    mask = np.zeros(0, np.bool_)
    made = np.zeros((0, 0), np.float32)
    users = Users(np.zeros(0, np.intp), np.zeros(0))
    trails = np.zeros((0, LENGTH, WIDTH), np.uint8)
    habits = Habits(nothing, nothing, trails)
    return TrialData(habits, 0, 0.999, users, mask, mask, made, trails, 25.0, 0)


def counts(caught: int) -> np.ndarray:
    return np.tile(np.array([caught, 10, 0, 20], np.float64), (30, 1))


def test_the_better_of_both_is_kept(journal: Journal, parts: Slices, data: TrialData) -> None:
    gained = compared(counts(5), counts(7), budget=25.0, seed=0)
    told = summary(journal, parts, data, SETTINGS, gained)
    assert told["kept"] == "tuned"
    assert told["parameters"]["one_class_svm"]["nu"] == pytest.approx(0.02)
    assert told["validation"]["best"]["trial"] == 2
    assert told["held_out"]["gain"] == pytest.approx(0.2)
    assert told["trials"] == {"all": 22, "complete": 16, "failed": 1, "minutes": 1.0}


def test_the_default_stays_where_it_is_better(
    journal: Journal, parts: Slices, data: TrialData
) -> None:
    lost = compared(counts(7), counts(5), budget=25.0, seed=0)
    told = summary(journal, parts, data, SETTINGS, lost)
    assert told["kept"] == "default"
    assert told["parameters"]["one_class_svm"]["nu"] == 0.1
    assert told["validation"]["best"]["objective"] == pytest.approx(0.5), "and what lost is told"
    assert summary(journal, parts, data, SETTINGS, None)["kept"] == "default"


def test_files(journal: Journal, parts: Slices, data: TrialData, tmp_path: Path) -> None:
    told = summary(journal, parts, data, SETTINGS, None)
    out = tmp_path / "out"
    write(out, told, journal.trials, RANGES)
    assert json.loads((out / BEST).read_bytes())["kept"] == "default"
    with (out / TRIALS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 22
    assert float(rows[2]["one_class_svm.nu"]) == pytest.approx(0.02)
    assert rows[-1]["problem"] == "failed"
    for name in (HISTORY, IMPORTANCE, PARALLEL):
        assert shades(out / name) > 20, f"{name} shows something"


def shades(picture: Path) -> int:
    """How many different bytes the pixels of a PNG have; 1 for an empty one."""
    content, at, packed = picture.read_bytes(), 8, b""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            packed += content[at + 8 : at + 8 + size]
        at += size + 12
    return len(set(zlib.decompress(packed)))


def test_what_mattered_is_told_by_stage(journal: Journal) -> None:
    axes = importance(journal.trials, RANGES).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    lengths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]
    told = dict(zip(names, lengths, strict=True))
    assert told["one_class_svm.nu"] > told["one_class_svm.width"]
    assert told["isolation_forest.n_trees"] == 1.0, "all that its stage searched"


def test_too_few_trials_say_so(journal: Journal) -> None:
    figure = importance(journal.trials[:3], RANGES)
    assert [text.get_text() for text in figure.axes[0].texts] == ["too few trials"]
    assert history(journal.trials[:1]).axes


def test_one_choice_is_no_range(journal: Journal, tmp_path: Path) -> None:
    write(tmp_path / "o", {}, journal.trials[:2], {"x": Range(choices=("only",))})
    assert shades(tmp_path / "o" / PARALLEL) > 1
