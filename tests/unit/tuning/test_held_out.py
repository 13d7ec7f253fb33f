"""Judging two versions on held-out events: counts, intervals, and real bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from preprocessing.event import AuthEvent
from tuning.data import Labels
from tuning.generate import generate
from tuning.held_out import Candidate, Comparison, compare, compared
from tuning.objective import Slices, slices
from tuning.train import TrainingSettings

FAST = TrainingSettings(
    detectors=("one_class_svm",), parameters={"one_class_svm": {"max_rows": 400}}
)
#: So wide that all it sees is the distance to the middle of everything.
BLUNT = replace(FAST, parameters={"one_class_svm": {"width": 0.001, "nu": 0.9}})
#: As many events know hardly anybody.
FEW = 40


def counts(caught: int, false: int, users: int = 50) -> np.ndarray:
    """Each user has 10 anomalies and 20 days, of which so many are caught and falsely alerted."""
    return np.tile(np.array([caught, 10, false, 20], np.float64), (users, 1))


def test_figures_are_those_of_the_counts() -> None:
    told = compared(counts(6, 0), counts(8, 0), budget=25.0, seed=0)
    assert (told.default.recall, told.tuned.recall) == (0.6, 0.8)
    assert told.gain == pytest.approx(0.2)
    assert told.better
    assert told.certain, "every user gained alike"
    assert told.gain_interval == pytest.approx((0.2, 0.2))


def test_recall_that_is_bought_with_alerts_is_no_gain() -> None:
    told = compared(counts(6, 1), counts(8, 4), budget=25.0, seed=0)
    assert told.tuned.alerts_per_1000 == 200.0
    assert told.tuned.objective == pytest.approx(0.8 * 50.0 / 200.0)
    assert not told.better


def test_few_users_leave_room_for_chance() -> None:
    rng = np.random.default_rng(0)
    default, tuned = counts(5, 0, users=8), counts(5, 0, users=8)
    tuned[:, 0] += rng.integers(-3, 4, size=8)
    told = compared(default, tuned, budget=25.0, seed=0)
    low, high = told.gain_interval
    assert low < told.gain < high
    assert not told.certain
    assert told == compared(default, tuned, budget=25.0, seed=0)


@pytest.fixture(scope="module")
def parts(training_events: list[AuthEvent]) -> Slices:
    return slices(training_events)


@pytest.fixture(scope="module")
def candidates(parts: Slices) -> tuple[Candidate, Candidate, Candidate]:
    """A good version, one that knows hardly anybody, and a blunt one."""
    before = [*parts.training, *parts.validation]
    whole, few = (Candidate(each, FAST, lambda name: None) for each in (before, before[:FEW]))
    return whole, few, Candidate(before, BLUNT, lambda name: None)


def judged(candidates: Sequence[Candidate], parts: Slices, labelled: bool) -> Comparison:
    """The good version against the one that knows nobody, with labels; else the blunt one."""
    rows = generate("seedlike", events=2000, seed=1).labels
    types = {str(row["event_id"]): "attack" if row["is_anomaly"] else None for row in rows}
    good, few, blunt = candidates
    labels, bad = (Labels(types), few) if labelled else (None, blunt)
    return compare(good, bad, parts, labels, budget=25.0, seed=0)


@pytest.mark.parametrize("labelled", [True, False], ids=["with labels", "without labels"])
def test_a_bad_version_loses(
    candidates: tuple[Candidate, Candidate, Candidate], parts: Slices, labelled: bool
) -> None:
    told = judged(candidates, parts, labelled)
    assert told.tuned.objective < 0.5 * told.default.objective
    assert not told.better
    low, high = told.default.recall_interval
    assert low <= told.default.recall <= high
