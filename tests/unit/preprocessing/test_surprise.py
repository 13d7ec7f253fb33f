"""Surprise: what the map promises for any training set, however small or flat."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from preprocessing.features import CAP
from preprocessing.surprise import (
    COMMONPLACE,
    NOTABLE,
    STEEPEST,
    Surprise,
    fit,
    notable,
)

Features = NDArray[np.float32]

#: Every value a feature can have, finely.
GRID = np.linspace(0.0, CAP, 2001, dtype=np.float32)
#: Most decades per unit beyond the training events.
MOST_SLOPE = 0.6
LEAST_SLOPE = 0.3


def training(least: int, most: int) -> st.SearchStrategy[Features]:
    """Two features of so many events."""
    values = st.floats(0.0, CAP, width=32, allow_subnormal=False)
    shape = st.tuples(st.integers(least, most), st.just(2))
    return hnp.arrays(np.float32, shape, elements=values)


TRAINING = training(1, 60)


def column(values: object) -> Features:
    return np.asarray(values, np.float32).reshape(-1, 1)


def decades(ordinary: object, values: object) -> NDArray[np.float64]:
    """Decades beyond the commonplace of values of one feature, (n,)."""
    mapped: NDArray[np.float64] = fit(column(ordinary))(column(values)).ravel().astype(np.float64)
    return mapped


def normal(count: int) -> NDArray[np.float64]:
    return np.abs(np.random.default_rng(0).normal(size=count))


@given(TRAINING)
def test_any_training_gives_a_rising_finite_map_from_zero(x: Features) -> None:
    mapped = fit(x)(np.stack([GRID, GRID], axis=1))
    assert mapped.shape == (len(GRID), 2)
    assert mapped.dtype == np.float32
    assert np.isfinite(mapped).all()
    assert (mapped >= 0).all()
    assert (mapped[0] == 0).all()
    assert (np.diff(mapped, axis=0) >= 0).all()


@given(TRAINING)
def test_no_unit_is_worth_more_than_the_steepest(x: Features) -> None:
    mapped = fit(x)(np.stack([GRID, GRID], axis=1))
    most = np.maximum(0.0, STEEPEST * GRID - COMMONPLACE)
    assert (mapped <= most[:, np.newaxis] + 1e-4).all()


@settings(max_examples=50)
@given(training(250, 300))
def test_one_ordinary_event_in_fifty_is_notable(x: Features) -> None:
    """Of 250 events on, whatever their values: then five of them show what one in fifty shows."""
    each = fit(x)(x) >= NOTABLE
    assert (each.sum(axis=0) <= len(x) / 50 + 1).all()


@given(TRAINING)
def test_rows_and_columns_do_not_see_each_other(x: Features) -> None:
    surprise = fit(x)
    whole = surprise(x)
    assert np.array_equal(np.concatenate([surprise(row[np.newaxis]) for row in x]), whole)
    assert np.array_equal(fit(x[:, :1])(x[:, :1]), whole[:, :1])
    assert np.array_equal(fit(x[::-1])(x), whole)


def test_a_decade_is_ten_times_rarer() -> None:
    x = normal(100_000)
    told = [0.0, 1.0, 2.0]
    points = [np.quantile(x, 1.0 - 10.0 ** -(COMMONPLACE + more)) for more in told]
    assert decades(x, points) == pytest.approx(told, abs=0.02)


def test_the_commonplace_is_nothing() -> None:
    x = normal(10_000)
    common = x[x <= np.quantile(x, 0.9)]
    assert decades(x, common).max() < 0.01


def test_what_everybody_does_is_nothing_and_what_nobody_does_is_much() -> None:
    roaming = np.random.default_rng(1).uniform(0.0, 6.0, 10_000)
    staying = np.zeros(10_000)
    assert decades(roaming, [4.0])[0] == 0
    assert decades(staying, [4.0])[0] > 2


def test_ties_count_all_events_that_show_at_least_the_value() -> None:
    tied = [0.0] * 700 + [2.0] * 280 + [5.0] * 20
    # 30 % show at least 2, which is commonplace; 2 % show 5: 0.7 decades beyond one in ten.
    assert decades(tied, [2.0, 5.0]) == pytest.approx([0.0, 0.7], abs=0.01)


def test_a_plateau_of_all_events_is_commonplace() -> None:
    mapped = decades([3.0] * 1000, [3.0, 3.0 + 10 / 3, CAP])
    assert mapped[0] == 0
    assert 0 <= mapped[1] < mapped[2]


@pytest.mark.parametrize("count", [1, 2, 10, 1000, 100_000])
def test_the_first_step_of_what_never_moved_is_as_rare_as_training_was_long(count: int) -> None:
    rarest = np.log10(count + 1)
    step = max(0.5, rarest / STEEPEST)
    expected = max(0.0, rarest - COMMONPLACE)
    assert decades(np.zeros(count), [step])[0] == pytest.approx(expected, abs=1e-4)


def test_longer_silence_makes_the_same_step_rarer() -> None:
    steps = [decades(np.zeros(count), [3.0])[0] for count in (1, 10, 100, 1000, 10_000)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(("count", "moved"), [(400, 4), (100_000, 40)])
def test_what_too_few_did_for_a_point_is_as_rare_as_they_are(count: int, moved: int) -> None:
    training = np.zeros(count)
    training[:moved] = 2.0
    step = np.log10(count / moved) / STEEPEST
    expected = np.log10(count / moved) - COMMONPLACE
    assert decades(training, [step])[0] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_handful_of_events_says_nothing_of_where_they_lie(count: int) -> None:
    values = np.linspace(0.0, CAP, 50)
    ordinary = decades(np.full(count, 7.0), values)
    assert (ordinary <= decades(np.zeros(count), values)).all()
    # Only the slope is left: a bit taken at its word.
    assert (ordinary <= np.maximum(0.0, values * LEAST_SLOPE + 0.5 - COMMONPLACE)).all()


def test_ten_events_know_only_their_middle() -> None:
    ten = np.arange(10.0)
    assert decades(ten, ten).max() < COMMONPLACE
    assert decades(ten, [CAP])[0] > COMMONPLACE


@pytest.mark.parametrize("training", [np.zeros(1000), normal(1000), 4 * normal(20_000)])
def test_beyond_training_the_map_goes_on_between_bounds(
    training: NDArray[np.float64],
) -> None:
    values = np.linspace(max(3.0, training.max()), CAP, 100)
    slopes = np.diff(decades(training, values)) / np.diff(values)
    assert (slopes > LEAST_SLOPE - 1e-3).all()
    assert (slopes < MOST_SLOPE + 1e-3).all()


def test_a_tail_cut_off_by_a_small_step_goes_on_no_steeper() -> None:
    """Nearly all of training within a tenth of a unit: STEEPEST holds there, the bound beyond."""
    tight = np.random.default_rng(2).uniform(0.0, 0.2, 20_000)
    values = np.linspace(1.0, CAP, 100)
    slopes = np.diff(decades(tight, values)) / np.diff(values)
    assert (slopes < MOST_SLOPE + 1e-3).all()


def test_no_events_is_no_error() -> None:
    surprise = fit(np.zeros((5, 3), np.float32))
    none = surprise(np.zeros((0, 3), np.float32))
    assert none.shape == (0, 3)
    assert none.dtype == np.float32
    assert notable(none).tolist() == []


def test_one_notable_value_makes_an_event_notable() -> None:
    rows = np.array([[0, 0], [0.69, 0.69], [0, 0.7], [9, 9]], np.float32)
    assert notable(rows).tolist() == [False, False, True, True]


@given(TRAINING)
def test_a_map_survives_its_file(x: Features) -> None:
    surprise = fit(x)
    again = msgspec.json.decode(msgspec.json.encode(surprise), type=Surprise)
    assert again == surprise
    assert np.array_equal(again(x), surprise(x))
