"""Search ranges and the judgement of input features."""

import numpy as np
import pytest

from models.base import NotFinite, Range, WrongShape, checked


def test_range_of_whole_numbers() -> None:
    trees = Range(low=50, high=400, kind="int")
    assert trees.contains(50)
    assert trees.contains(400)
    assert not trees.contains(49)
    assert not trees.contains(60.5)


def test_choices_make_it_a_choice() -> None:
    assert Range(choices=(1, 2)).kind == "choice"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Range(low=2, high=1), "low must be below high, got 2 and 1"),
        (lambda: Range(low=0, high=1, log=True), "must start above 0"),
        (lambda: Range(kind="choice"), "at least one choice"),
    ],
)
def test_impossible_range(build: type[Range], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_checked_keeps_float32_as_it_is() -> None:
    x = np.zeros((2, 3), dtype=np.float32)
    assert checked(x, 3) is x


def test_checked_converts() -> None:
    assert checked(np.ones((2, 3), dtype=np.int64)).dtype == np.float32
    assert checked(np.asfortranarray(np.ones((2, 3)))).flags.c_contiguous


def test_float64_beyond_float32_is_not_finite() -> None:
    with pytest.raises(NotFinite) as raised:
        checked(np.array([[0.0, 1e300]]))
    assert (raised.value.row, raised.value.column) == (0, 1)


def test_wrong_shape_carries_both_shapes() -> None:
    with pytest.raises(WrongShape) as raised:
        checked(np.zeros((2, 3), dtype=np.float32), 4)
    assert (raised.value.expected, raised.value.shape) == ((4,), (2, 3))
