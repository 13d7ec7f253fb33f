import numpy as np
import pytest

from preprocessing.features import CAP, NAMES
from preprocessing.surprise import fit
from preprocessing.trail import FIELDS, LENGTH, WIDTH
from tuning.excursions import DECADES, MOST_RAISED, Features, excursions, shown


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


def test_the_last_step_of_a_trail_shows_what_was_made() -> None:
    trails = np.ones((2, LENGTH, WIDTH), np.uint8)
    made = np.zeros((2, len(NAMES)), np.float32)
    made[1, NAMES.index("device_user_bits")] = 3.7
    made[1, NAMES.index("bytes_user")] = 25.0
    told = shown(trails, made)
    fields = [field.name for field in FIELDS]
    assert (told[1, -1, fields.index("device")], told[1, -1, fields.index("bytes")]) == (4, 8)
    np.testing.assert_array_equal(told[0], trails[0])
    np.testing.assert_array_equal(told[:, :-1], trails[:, :-1])
