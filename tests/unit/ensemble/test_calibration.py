import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.calibration import Calibration, Values, fit

finite = st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False)
samples = st.lists(finite, min_size=1, max_size=60).map(lambda raw: np.array(raw, np.float64))


def normal(count: int = 5000) -> Values:
    return np.random.default_rng(0).normal(10.0, 2.0, count)


def test_score_is_the_share_of_ordinary_events_that_score_lower() -> None:
    raw = normal()
    calibrate = fit(raw)
    for share in (0.01, 0.25, 0.5, 0.9, 0.99, 0.999):
        at = np.quantile(raw, share)
        assert calibrate(np.array([at]))[0] == pytest.approx(share, abs=0.005)


def test_unseen_ordinary_events_exceed_a_score_as_often_as_it_says() -> None:
    calibrate = fit(normal())
    scores = calibrate(np.random.default_rng(1).normal(10.0, 2.0, 20_000))
    for share in (0.5, 0.1, 0.02, 0.01):
        assert (scores > 1.0 - share).mean() == pytest.approx(share, rel=0.25)


@pytest.mark.parametrize("raw", [normal(), np.full(100, 3.0), np.array([1.0, 2.0]), np.zeros(1)])
def test_no_two_raw_scores_tie_up_to_ten_thousand_tail_scales(raw: Values) -> None:
    calibrate = fit(raw)
    beyond = calibrate.tail_start + calibrate.tail_scale * np.geomspace(0.01, 1e4, 1400)
    scores = calibrate(beyond)
    assert (np.diff(scores) > 0).all()
    assert (scores < 1.0).all()
    assert (np.diff(calibrate.exceedance(beyond)) < 0).all()


def test_scores_rise_strictly_beyond_the_training_maximum() -> None:
    raw = normal()
    calibrate = fit(raw)
    scores = calibrate(raw.max() + np.arange(0.0, 50.0, 0.5))
    assert (np.diff(scores) > 0).all()


@given(samples, st.lists(finite, min_size=2, max_size=60))
def test_never_falls_and_stays_in_its_range(raw: Values, others: list[float]) -> None:
    calibrate = fit(raw)
    at = np.sort(np.concatenate([raw, np.array(others)]))
    exceedance = calibrate.exceedance(at)
    assert np.isfinite(exceedance).all()
    assert (np.diff(exceedance) <= 2**-50).all()  # interpolation rounds
    assert ((exceedance > 0) & (exceedance <= 1)).all()


@pytest.mark.parametrize("count", [1, 2, 10])
def test_tiny_samples_leave_the_largest_ordinary(count: int) -> None:
    raw = np.arange(float(count))
    calibrate = fit(raw)
    # Of n events nothing can be said about rarer than one in n.
    assert calibrate(raw).max() <= 1.0 - 0.25 / (count + 1)
    assert calibrate(raw + 1000.0).min() > 0.99


def test_a_constant_is_ordinary_and_anything_above_it_is_not() -> None:
    calibrate = fit(np.full(500, 0.25))
    at, above, below = calibrate(np.array([0.25, 0.26, 0.24]))
    assert below < at < above
    assert at <= 0.981


@pytest.mark.parametrize("tied_share", [0.1, 0.4, 0.7, 0.95])
def test_rounding_does_not_move_what_many_events_score(tied_share: float) -> None:
    """An exported detector, or another batch size, gives a score that differs in its last bits."""
    raw = normal(1000)
    tied = float(np.quantile(raw, 0.2))
    raw[: int(1000 * tied_share)] = tied
    calibrate = fit(raw)
    rounded = tied * (1.0 + np.array([-1e-6, -1e-7, 0.0, 1e-7, 1e-6]))
    scores = calibrate(rounded)
    assert np.ptp(scores) < 1e-3
    assert scores[2] == pytest.approx((raw <= tied).mean(), abs=0.01)


def test_continuous_where_the_tail_begins() -> None:
    calibrate = fit(normal())
    start = calibrate.tail_start
    below, at, above = calibrate(np.array([start - 1e-9, start, start + 1e-9]))
    assert below == pytest.approx(at, abs=1e-6)
    assert above == pytest.approx(at, abs=1e-6)


def test_order_of_the_sample_is_irrelevant_and_it_is_not_modified() -> None:
    raw = normal(300)
    before = raw.copy()
    assert fit(raw) == fit(raw[::-1])
    assert np.array_equal(raw, before)


def test_survives_json_to_the_last_bit() -> None:
    calibrate = fit(normal(300))
    assert msgspec.json.decode(msgspec.json.encode(calibrate), type=Calibration) == calibrate
