"""What `models.base.Detector` promises, checked for every detector that sees features alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from models import DETECTORS, resolve
from models.base import (
    Detector,
    Features,
    InvalidParameter,
    NoEvents,
    NotFinite,
    NotFitted,
    WrongShape,
)
from models.onnx_scorer import OnnxScorer

CONSTANT = 5
"""A feature that is 0 for every ordinary event, such as failures in the last minutes."""
SEED = 7
SEEING_FEATURES = [name for name in DETECTORS if resolve(name).sees == "features"]


def ordinary(n: int, seed: int) -> Features:
    """Events with 4 skewed features, 1 that is mostly 0, and 1 that is always 0; in bits."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(0.8, (n, 6))
    x[:, 4] *= rng.random(n) < 0.05
    x[:, CONSTANT] = 0
    return x.astype(np.float32)


def moved(x: Features, bits: float) -> Features:
    changed = x.copy()
    changed[:, CONSTANT] += np.float32(bits)
    return changed


@dataclass(frozen=True)
class Case:
    """A detector fitted once, with what it was fitted on and its scores of that."""

    name: str
    fitted: Detector
    training: Features
    scores: np.ndarray


@cache
def case(name: str) -> Case:
    training = ordinary(1500, seed=1)
    fitted = resolve(name)(seed=SEED).fit(training)  # type: ignore[call-arg]
    return Case(name, fitted, training, fitted.score(training))


def higher_is_worse(case: Case) -> None:
    usual = ordinary(200, seed=2)
    strange = usual + np.float32(6)
    assert case.fitted.score(strange).min() > case.fitted.score(usual).max()


def beats_chance(case: Case) -> None:
    usual, attacks = ordinary(500, seed=3), ordinary(100, seed=4)
    attacks[:, :2] += 2
    above = case.fitted.score(attacks)[:, None] > case.fitted.score(usual)
    assert above.mean() > 0.75, "ROC-AUC is the share of pairs in the right order"


def monotone_far_out(case: Case) -> None:
    usual = ordinary(50, seed=5)
    levels = [case.fitted.score(moved(usual, bits)) for bits in (0, 2, 5, 15, 25)]
    assert np.all(np.diff(levels, axis=0) > 0)
    # What never varied, and then does, is strange, but not whatever else there is.
    assert levels[1].min() > np.quantile(case.scores, 0.98)
    assert levels[3].min() > case.scores.max()


def grows_in_every_direction(case: Case) -> None:
    far = np.diag(np.full(6, 30, dtype=np.float32))
    assert np.all(case.fitted.score(far * 2) > case.fitted.score(far))


def shape_and_dtype(case: Case) -> None:
    scores = case.fitted.score(case.training)
    assert scores.shape == (len(case.training),)
    assert scores.dtype == np.float64


def scores_are_finite(case: Case) -> None:
    limit = np.finfo(np.float32).max
    extreme = np.array([[0] * 6, [limit] * 6, [-limit] * 6], dtype=np.float32)
    assert np.isfinite(case.fitted.score(extreme)).all()
    assert np.isfinite(case.scores).all()


def order_of_rows_irrelevant(case: Case) -> None:
    order = np.random.default_rng(6).permutation(len(case.training))
    shuffled = case.fitted.score(case.training[order])
    np.testing.assert_allclose(shuffled, case.scores[order], rtol=1e-5)


def same_seed_same_scores(case: Case) -> None:
    again = type(case.fitted)(seed=SEED).fit(case.training)  # type: ignore[call-arg]
    np.testing.assert_array_equal(again.score(case.training), case.scores)


def input_not_modified(case: Case) -> None:
    training, before = case.training.copy(), case.training.copy()
    training.flags.writeable = False
    case.fitted.score(training)
    np.testing.assert_array_equal(training, before)


def export_equal(case: Case) -> None:
    exported = OnnxScorer(onnx_file(case.name), name=case.name, version="1")
    for x in (case.training, moved(case.training, 3), case.training * np.float32(-9)):
        worst = np.abs(exported.score(x).values - case.fitted.score(x)).max()
        assert worst <= 1e-4 * np.ptp(case.scores)


def rejects_other_schema(case: Case) -> None:
    with pytest.raises(WrongShape, match=r"shape \(n_events, 6\), got \(3, 5\)"):
        case.fitted.score(np.zeros((3, 5), dtype=np.float32))
    with pytest.raises(WrongShape):
        case.fitted.score(np.zeros(6, dtype=np.float32))


def rejects_nan_and_infinity(case: Case) -> None:
    for bad in (np.nan, np.inf):
        x = case.training[:4].copy()
        x[2, 1] = bad
        with pytest.raises(NotFinite, match="row 2, column 1"):
            case.fitted.score(x)


def single_row_ok(case: Case) -> None:
    alone = np.concatenate([case.fitted.score(row[None]) for row in case.training[:5]])
    np.testing.assert_allclose(alone, case.scores[:5], rtol=1e-5)


def no_rows_ok(case: Case) -> None:
    assert case.fitted.score(case.training[:0]).shape == (0,)


def constant_feature_ok(case: Case) -> None:
    assert not case.training[:, CONSTANT].any()
    assert case.fitted.score(moved(case.training[:1], 2))[0] > case.scores[0]


def search_space_is_usable(case: Case) -> None:
    for parameter, space in case.fitted.search_space.items():
        assert space.contains(getattr(case.fitted, parameter)), f"default of {parameter}"


def effort_is_a_whole_number_that_may_be_small(case: Case) -> None:
    effort = case.fitted.effort
    assert isinstance(getattr(case.fitted, effort), int)
    little = resolve(case.name)(seed=SEED, **{effort: 1})  # type: ignore[call-arg]
    assert np.isfinite(little.fit(case.training[:50]).score(case.training[:5])).all()


PROMISES: tuple[Callable[[Case], None], ...] = (
    higher_is_worse,
    beats_chance,
    monotone_far_out,
    grows_in_every_direction,
    shape_and_dtype,
    scores_are_finite,
    order_of_rows_irrelevant,
    same_seed_same_scores,
    input_not_modified,
    export_equal,
    rejects_other_schema,
    rejects_nan_and_infinity,
    single_row_ok,
    no_rows_ok,
    constant_feature_ok,
    search_space_is_usable,
    effort_is_a_whole_number_that_may_be_small,
)


@cache
def onnx_file(name: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        case(name).fitted.export(path)
        return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        pytest.param(name, promise, id=f"{name}:{promise.__name__}")
        for name in SEEING_FEATURES
        for promise in PROMISES
    ],
)
def test_detector(name: str, promise: Callable[[Case], None]) -> None:
    promise(case(name))


@pytest.mark.parametrize("name", SEEING_FEATURES)
@pytest.mark.parametrize("rows", [1, 2, 10])
def test_tiny_training_set(name: str, rows: int, tmp_path: Path) -> None:
    training = ordinary(rows, seed=8)
    fitted = resolve(name)().fit(training)
    fitted.export(tmp_path / "detector.onnx")
    assert fitted.score(training + np.float32(9)).min() > fitted.score(training).max()


@pytest.mark.parametrize("name", SEEING_FEATURES)
def test_equal_training_rows(name: str, tmp_path: Path) -> None:
    training = np.zeros((40, 3), dtype=np.float32)
    fitted = resolve(name)().fit(training)
    fitted.export(tmp_path / "detector.onnx")
    assert fitted.score(training[:1] + np.float32(2))[0] > fitted.score(training)[0]


@pytest.mark.parametrize("name", SEEING_FEATURES)
def test_before_fit(name: str, tmp_path: Path) -> None:
    detector = resolve(name)()
    with pytest.raises(NotFitted, match=name):
        detector.score(np.zeros((1, 6), dtype=np.float32))
    with pytest.raises(NotFitted, match=name):
        detector.export(tmp_path / "detector.onnx")


@pytest.mark.parametrize("name", SEEING_FEATURES)
def test_bad_training_data(name: str) -> None:
    with pytest.raises(NoEvents):
        resolve(name)().fit(np.empty((0, 6), dtype=np.float32))
    with pytest.raises(WrongShape, match="at least 1"):
        resolve(name)().fit(np.empty((6, 0), dtype=np.float32))
    with pytest.raises(NotFinite):
        resolve(name)().fit(np.full((6, 2), np.nan, dtype=np.float32))


@pytest.mark.parametrize("name", SEEING_FEATURES)
def test_bad_parameter(name: str) -> None:
    with pytest.raises(InvalidParameter, match="seed must be 0 or more, got -1"):
        resolve(name)(seed=-1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", SEEING_FEATURES)
def test_name_is_its_key(name: str) -> None:
    assert resolve(name).name == name
