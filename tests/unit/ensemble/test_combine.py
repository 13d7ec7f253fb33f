import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble.combine import METHODS, Method, Values, combine, surprise

NAMES = ["one", "two", "three"]
SURPRISES = np.array([[0.5, 2.5], [1.0, 0.0], [3.0, 3.5]])
surprises = hnp.arrays(np.float64, (3, 4), elements=st.floats(0.0, 40.0))


@pytest.mark.parametrize(
    ("exceedance", "expected"), [(1.0, 0.0), (0.1, 1.0), (0.01, 2.0), (1e-9, 9.0)]
)
def test_surprise_counts_zeros(exceedance: float, expected: float) -> None:
    assert surprise(np.array([exceedance]))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("tail", [(0.05 + 0.1 + 2 * 1.3) / 4, (0.75 + 0.0 + 2 * 1.85) / 4]),
        ("mean", [1.5, 2.0]),
        ("max", [3.0, 3.5]),
        ("weighted", [1.875, 2.375]),
        ("vote", [1 + 1.5 / 2.5, 2 + 2.0 / 3.0]),
    ],
)
def test_each_method(method: Method, expected: list[float]) -> None:
    weights = {"one": 1.0, "two": 1.0, "three": 2.0}
    combined = combine(SURPRISES, NAMES, method=method, weights=weights)
    assert combined == pytest.approx(expected)


def test_a_detector_without_a_weight_counts_once() -> None:
    combined = combine(SURPRISES, NAMES, method="weighted", weights={"three": 2.0})
    assert combined == pytest.approx([1.875, 2.375])


def test_weights_follow_the_name_not_the_place() -> None:
    weights = {"one": 5.0, "two": 1.0, "three": 0.0}
    straight = combine(SURPRISES, NAMES, method="weighted", weights=weights)
    turned = combine(SURPRISES[::-1], NAMES[::-1], method="weighted", weights=weights)
    assert turned == pytest.approx(straight)


def test_a_detector_without_weight_still_speaks_when_no_other_answers() -> None:
    combined = combine(SURPRISES[:1], ["one"], method="weighted", weights={"one": 0.0})
    assert combined == pytest.approx(SURPRISES[0])


@pytest.mark.parametrize("method", [each for each in METHODS if each not in ("vote", "tail")])
def test_one_detector_alone_is_itself(method: Method) -> None:
    combined = combine(SURPRISES[:1], ["one"], method=method, weights={"one": 3.0})
    assert combined == pytest.approx(SURPRISES[0])


def test_what_is_common_to_a_detector_hardly_moves_the_tail() -> None:
    rare_to_two, common_to_all = np.array([3.0, 3.0, 0.0]), np.array([2.0, 2.0, 2.0])
    columns = np.stack([rare_to_two, common_to_all], axis=1)
    tail = combine(columns, NAMES, method="tail", weights={})
    mean = combine(columns, NAMES, method="mean", weights={})
    assert mean[0] == mean[1]
    assert tail[0] > 4 * tail[1]


def test_more_votes_outrank_any_surprise() -> None:
    two_votes, one_loud = np.array([2.0, 2.0, 0.0]), np.array([0.0, 0.0, 40.0])
    combined = combine(np.stack([two_votes, one_loud], axis=1), NAMES, method="vote", weights={})
    assert combined[0] > combined[1]


@pytest.mark.parametrize("method", METHODS)
def test_no_events_no_surprise(method: Method) -> None:
    assert combine(np.empty((3, 0)), NAMES, method=method, weights={}).shape == (0,)


@pytest.mark.parametrize("method", METHODS)
@given(low=surprises, more=hnp.arrays(np.float64, 4, elements=st.floats(0.0, 10.0)))
def test_more_surprise_of_one_detector_never_means_less(
    method: Method, low: Values, more: Values
) -> None:
    weights = {"one": 0.5, "two": 2.0}
    before = combine(low, NAMES, method=method, weights=weights)
    for detector in range(3):
        high = low.copy()
        high[detector] += more
        after = combine(high, NAMES, method=method, weights=weights)
        assert (after >= before - 1e-12).all()
