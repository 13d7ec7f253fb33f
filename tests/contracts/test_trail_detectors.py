"""What `models.base.Detector` promises, checked for every detector that sees trails alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import DETECTORS, resolve
from models.base import Detector, InvalidParameter, NoEvents, NotFitted, Trails, WrongShape
from models.onnx_scorer import OnnxScorer
from preprocessing.trail import FIELDS, LENGTH, WIDTH

SEED = 7
SEEING_TRAILS = [name for name in DETECTORS if resolve(name).sees == "trails"]
NAMES = [field.name for field in FIELDS]
#: Enough for a contract, and fast.
LITTLE: dict[str, Any] = {"units": 8, "max_epochs": 4, "seed": SEED}


def column(name: str) -> int:
    return NAMES.index(name)


def ordinary(n: int, seed: int) -> Trails:
    """Trails of 1 to 16 events: a login, two accesses and again; one event in twenty is a bit
    unusual in its hour, and everybody has a device, a network and a session of their own."""
    rng = np.random.default_rng(seed)
    trails = np.ones((n, LENGTH, WIDTH), np.uint8)
    phase = (np.arange(LENGTH) + rng.integers(0, 3, (n, 1))) % 3
    trails[:, :, column("kind")] = np.where(phase == 0, 1, 2)
    trails[:, :, column("gap")] = np.where(phase == 0, 11, 3)
    trails[:, :, column("hour")] += (rng.random((n, LENGTH)) < 0.05).astype(np.uint8)
    for name in ("device_link", "network_link", "session_link"):
        trails[:, :, column(name)] = rng.integers(1, 255, (n, 1))
    length = rng.integers(1, LENGTH * 2, n)
    trails[np.arange(LENGTH) < LENGTH - length[:, None]] = 0
    return trails


def strange(trails: Trails, level: int, *, steps: int = 1) -> Trails:
    """The last steps come from a network and a device that are rare to the user by ``level``."""
    changed = trails.copy()
    there = changed[:, -steps:].any(axis=2)
    for name in ("network", "device"):
        changed[:, -steps:, column(name)] = np.where(there, 1 + level, 0)
        changed[:, -steps:, column(f"{name}_link")] = np.where(there, 255, 0)
    return changed


@dataclass(frozen=True)
class Case:
    """A detector fitted once, with what it was fitted on and its scores of that."""

    name: str
    fitted: Detector
    training: Trails
    scores: np.ndarray


@cache
def case(name: str) -> Case:
    training = ordinary(1500, seed=1)
    fitted = resolve(name)(**LITTLE).fit(training)
    return Case(name, fitted, training, fitted.score(training))


def higher_is_worse(case: Case) -> None:
    usual = ordinary(200, seed=2)
    assert case.fitted.score(strange(usual, 6)).min() > np.quantile(case.fitted.score(usual), 0.99)


def beats_chance(case: Case) -> None:
    usual, attacks = ordinary(500, seed=3), strange(ordinary(100, seed=4), 1)
    above = case.fitted.score(attacks)[:, None] > case.fitted.score(usual)
    assert above.mean() > 0.75, "ROC-AUC is the share of pairs in the right order"


def never_less_for_a_stranger_level(case: Case) -> None:
    usual = ordinary(50, seed=5)
    levels = [case.fitted.score(strange(usual, level)) for level in range(8)]
    assert np.all(np.diff(levels, axis=0) >= -1e-4)


def a_chain_is_stranger_than_its_last_event(case: Case) -> None:
    usual = ordinary(200, seed=6)
    usual = usual[(usual[:, 0] > 0).all(axis=1)]
    chain, alone = strange(usual, 4, steps=4), strange(usual, 4)
    # What came before is as strange in both; in one of them it came from elsewhere.
    alone[:, -4:-1] = chain[:, -4:-1]
    alone[:, -4:-1, column("network_link")] = 254
    assert case.fitted.score(chain).mean() > case.fitted.score(alone).mean()


def a_newcomer_is_no_anomaly(case: Case) -> None:
    newcomers = ordinary(300, seed=7)
    newcomers[:, :-1] = 0
    assert case.fitted.score(newcomers).mean() <= np.quantile(case.scores, 0.99)


def shape_and_dtype(case: Case) -> None:
    assert case.scores.shape == (len(case.training),)
    assert case.scores.dtype == np.float64


def scores_are_finite(case: Case) -> None:
    extreme = np.stack([np.zeros((LENGTH, WIDTH)), np.full((LENGTH, WIDTH), 255)])
    assert np.isfinite(case.fitted.score(extreme.astype(np.uint8))).all()
    assert np.isfinite(case.scores).all()


def order_of_rows_irrelevant(case: Case) -> None:
    order = np.random.default_rng(6).permutation(len(case.training))
    shuffled = case.fitted.score(case.training[order])
    np.testing.assert_allclose(shuffled, case.scores[order], rtol=1e-4, atol=1e-5)


def same_seed_same_scores(case: Case) -> None:
    again = resolve(case.name)(**LITTLE).fit(case.training)
    np.testing.assert_array_equal(again.score(case.training), case.scores)


def input_not_modified(case: Case) -> None:
    training, before = case.training.copy(), case.training.copy()
    training.flags.writeable = False
    case.fitted.score(training)
    np.testing.assert_array_equal(training, before)


def export_equal(case: Case) -> None:
    exported = OnnxScorer(onnx_file(case.name), name=case.name, version="1")
    assert (exported.sees, exported.shape) == ("trails", (LENGTH, WIDTH))
    for x in (case.training, strange(case.training, 7, steps=5), case.training * np.uint8(9)):
        worst = np.abs(exported.score(x).values - case.fitted.score(x)).max()
        assert worst <= 1e-4 * np.ptp(case.scores)


def rejects_other_schema(case: Case) -> None:
    with pytest.raises(WrongShape, match=r"trails of shape \(n_events, 16, 20\), got \(3, 16, 5\)"):
        case.fitted.score(np.zeros((3, 16, 5), np.uint8))
    with pytest.raises(WrongShape):
        case.fitted.score(np.zeros((3, 6), np.float32))


def single_row_ok(case: Case) -> None:
    alone = np.concatenate([case.fitted.score(row[None]) for row in case.training[:5]])
    np.testing.assert_allclose(alone, case.scores[:5], rtol=1e-4, atol=1e-5)


def no_rows_ok(case: Case) -> None:
    assert case.fitted.score(case.training[:0]).shape == (0,)


def search_space_is_usable(case: Case) -> None:
    default: Any = resolve(case.name)()
    for parameter, space in default.search_space.items():
        assert space.contains(getattr(default, parameter)), f"default of {parameter}"


def effort_is_a_whole_number_that_may_be_small(case: Case) -> None:
    effort = case.fitted.effort
    assert isinstance(getattr(case.fitted, effort), int)
    little = resolve(case.name)(**{**LITTLE, effort: 1})
    assert np.isfinite(little.fit(case.training[:50]).score(case.training[:5])).all()


PROMISES: tuple[Callable[[Case], None], ...] = (
    higher_is_worse,
    beats_chance,
    never_less_for_a_stranger_level,
    a_chain_is_stranger_than_its_last_event,
    a_newcomer_is_no_anomaly,
    shape_and_dtype,
    scores_are_finite,
    order_of_rows_irrelevant,
    same_seed_same_scores,
    input_not_modified,
    export_equal,
    rejects_other_schema,
    single_row_ok,
    no_rows_ok,
    search_space_is_usable,
    effort_is_a_whole_number_that_may_be_small,
)


@cache
def onnx_file(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        case(name).fitted.export(path)
        return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        pytest.param(name, promise, id=f"{name}:{promise.__name__}")
        for name in SEEING_TRAILS
        for promise in PROMISES
    ],
)
def test_detector(name: str, promise: Callable[[Case], None]) -> None:
    promise(case(name))


@pytest.mark.parametrize("name", SEEING_TRAILS)
@pytest.mark.parametrize("rows", [1, 10])
def test_tiny_training_set(name: str, rows: int, tmp_path: Path) -> None:
    training = ordinary(rows, seed=8)
    fitted = resolve(name)(**LITTLE).fit(training)
    fitted.export(tmp_path / "detector.onnx")
    assert np.isfinite(fitted.score(training)).all()


@pytest.mark.parametrize("name", SEEING_TRAILS)
def test_equal_training_rows(name: str, tmp_path: Path) -> None:
    training = np.repeat(ordinary(1, seed=9), 40, axis=0)
    fitted = resolve(name)(**LITTLE).fit(training)
    fitted.export(tmp_path / "detector.onnx")
    assert fitted.score(strange(training[:1], 7))[0] > fitted.score(training)[0]


@pytest.mark.parametrize("name", SEEING_TRAILS)
def test_before_fit(name: str, tmp_path: Path) -> None:
    detector = resolve(name)()
    with pytest.raises(NotFitted, match=name):
        detector.score(ordinary(1, seed=1))
    with pytest.raises(NotFitted, match=name):
        detector.export(tmp_path / "detector.onnx")


@pytest.mark.parametrize("name", SEEING_TRAILS)
def test_bad_training_data(name: str) -> None:
    with pytest.raises(NoEvents):
        resolve(name)().fit(np.empty((0, LENGTH, WIDTH), np.uint8))
    with pytest.raises(WrongShape):
        resolve(name)().fit(np.empty((6, LENGTH, WIDTH + 1), np.uint8))


@pytest.mark.parametrize("name", SEEING_TRAILS)
def test_bad_parameter(name: str) -> None:
    with pytest.raises(InvalidParameter, match="seed must be 0 or more, got -1"):
        resolve(name)(seed=-1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", SEEING_TRAILS)
def test_name_is_its_key(name: str) -> None:
    assert resolve(name).name == name
