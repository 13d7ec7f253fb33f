import numpy as np
import pytest

from preprocessing.features import CAP
from preprocessing.surprise import fit
from tuning.excursions import DECADES, MOST_RAISED, Features, excursions


@pytest.fixture(scope="module")
def rows() -> Features:
    return np.abs(np.random.default_rng(0).normal(size=(3000, 8))).astype(np.float32)


def test_few_features_are_raised_and_by_the_decades_promised(rows: Features) -> None:
    surprise = fit(rows)
    calm = np.zeros((10, 8), np.float32)
    made, drawn = excursions(calm, surprise, seed=1, count=500)
    assert set(drawn.tolist()) == set(range(10))
    assert made.shape == (500, 8)
    assert made.dtype == np.float32
    assert (made <= CAP).all()
    decades = surprise(made)
    assert np.array_equal(decades > 0, decades >= DECADES[0] - 0.01)
    raised = (decades > 0).sum(axis=1)
    assert set(raised.tolist()) == set(range(1, MOST_RAISED + 1))
    assert decades.max() == pytest.approx(DECADES[1], abs=0.1)


def test_the_same_seed_makes_the_same(rows: Features) -> None:
    surprise = fit(rows)
    one, same, other = (excursions(rows, surprise, seed=seed, count=50)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_where_every_event_stands_out_they_are_the_base(rows: Features) -> None:
    loud = rows + np.float32(15)
    made, drawn = excursions(loud, fit(rows), seed=1, count=20)
    assert (made >= loud[drawn]).all()
