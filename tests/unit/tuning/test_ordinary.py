"""Which training events count as ordinary: each rule on planted data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.features import FEATURES, NAMES, plain
from tuning.ordinary import (
    LEAST_TO_SPARE,
    STRETCHES,
    WARM_UP,
    calm,
    concentrated,
    heavy,
    ordinary,
)

COUNT = 4000
COLD = int(COUNT * WARM_UP)
EVERYBODY = np.ones(COUNT, np.bool_)
ATTACK = NAMES.index("user_failures")


def usual(count: int = COUNT, *, seed: int = 0) -> NDArray[np.float32]:
    """Features of ordinary events (n, d): small, skewed, none that is never ordinary."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(0.3, (count, len(FEATURES))).astype(np.float32)
    return np.minimum(values, 2.0)


def strangeness(features: NDArray[np.float32]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = features.sum(axis=1, dtype=np.float64)
    return total


def with_strange(rows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Usual events of which ``rows`` are strange in every feature, none of them plainly."""
    features = usual()
    features[rows] = np.minimum(features[rows] + 1.2, 2.4)
    return features


def scattered(share: float) -> NDArray[np.bool_]:
    return np.random.default_rng(1).random(COUNT) < share


def none_known(count: int = COUNT) -> NDArray[np.bool_]:
    return np.zeros(count, np.bool_)


def test_planted_data_is_not_plainly_an_attack() -> None:
    assert plain(with_strange(EVERYBODY)).all()


def test_ordinary_data_is_kept_whole_but_for_the_warm_up() -> None:
    assert ordinary(usual(), none_known()).tolist() == [False] * COLD + [True] * (COUNT - COLD)


@pytest.mark.parametrize("count", [0, 1, 10, LEAST_TO_SPARE - 1])
def test_small_sets_are_taken_as_they_are(count: int) -> None:
    features = usual(count)
    features[: count // 2] = np.minimum(features[: count // 2] + 1.2, 2.4)
    assert ordinary(features, none_known(count)).all()


@pytest.mark.parametrize("count", [1, 10, COUNT])
def test_what_nobody_would_call_ordinary_is_out(count: int) -> None:
    features = usual(count)
    features[-1, ATTACK] = FEATURES[ATTACK].never_ordinary
    kept = ordinary(features, none_known(count))
    assert not kept[-1]
    assert kept[COLD if count == COUNT else 0 : -1].all()


def test_what_is_known_to_be_an_anomaly_is_out() -> None:
    known = scattered(0.3)
    kept = ordinary(usual(), known)
    assert not (kept & known).any()
    assert kept[COLD:].sum() == (~known[COLD:]).sum()


def test_few_strange_events_are_taken_for_the_tail_that_they_are() -> None:
    features = with_strange(scattered(0.02))
    assert ordinary(features, none_known())[COLD:].all()


def test_heavy_is_more_than_ordinary_tails_explain() -> None:
    assert not heavy(strangeness(usual()), EVERYBODY)
    assert not heavy(strangeness(with_strange(scattered(0.03))), EVERYBODY)
    assert heavy(strangeness(with_strange(scattered(0.2))), EVERYBODY)


def test_heavy_looks_at_usable_events_alone() -> None:
    strange = scattered(0.2)
    told = strangeness(with_strange(strange))
    assert not heavy(told, ~strange)
    few = np.arange(COUNT) < LEAST_TO_SPARE - 1
    assert not heavy(told, few)


@pytest.mark.parametrize("start", [COLD, 1600, 3000])
def test_calm_picks_the_quiet_stretch_of_a_planted_wave(start: int) -> None:
    """Attacks all the time, but for a fifth of it."""
    quiet = (np.arange(COUNT) >= start) & (np.arange(COUNT) < start + COUNT // 5)
    strange = scattered(0.4) & ~quiet
    kept = ordinary(with_strange(strange), none_known())
    # A stretch at either end may reach over the border of the wave.
    assert (kept & quiet).sum() >= quiet.sum() - 2 * COUNT / STRETCHES
    assert (kept & ~quiet).sum() <= 2 * COUNT / STRETCHES
    assert strange[kept].mean() < 0.05


def test_calm_keeps_everything_where_all_stretches_are_alike() -> None:
    assert calm(strangeness(usual()), EVERYBODY).mean() > 0.9


def test_calm_keeps_usable_events_only() -> None:
    usable = ~scattered(0.5)
    assert not (calm(strangeness(usual()), usable) & ~usable).any()


def test_without_any_calm_the_more_ordinary_half_is_kept() -> None:
    strange = scattered(0.4)
    kept = ordinary(with_strange(strange), none_known())
    assert 0.4 < kept[COLD:].mean() <= 0.5
    assert not (kept & strange).any()


def test_half_of_the_usable_is_kept() -> None:
    usable = scattered(0.5)
    kept = concentrated(usual(), usable)
    assert kept.sum() == pytest.approx(usable.sum() / 2, abs=1)
    assert not (kept & ~usable).any()


def test_what_is_strange_in_one_way_alone_does_not_hide_among_the_half() -> None:
    """Two units of a feature that moves nowhere else, where a fifth of the others always does."""
    features, strange = usual(), scattered(0.2)
    features[np.random.default_rng(2).random(features.shape) > 0.2] = 0.0
    features[:, 0] = 0.0
    features[strange, 0] = 2.0
    told = strangeness(features)
    assert (told[strange] <= np.median(told)).mean() > 0.05
    assert not (concentrated(features, EVERYBODY) & strange).any()


def test_stretches_that_are_calm_by_chance_are_no_calm() -> None:
    strange = scattered(0.4)
    strange[COLD : COLD + COUNT // 20] &= scattered(0.5)[: COUNT // 20]
    kept = ordinary(with_strange(strange), none_known())
    assert kept[COLD:].mean() > 0.4


def test_how_strange_the_strange_are_moves_nothing() -> None:
    """No contamination can bend the measure: tenfold strangeness lets no strange event in, and
    leaves about as many ordinary ones."""
    strange = scattered(0.4)
    mild = with_strange(strange)
    wild = mild.copy()
    free = np.isinf([feature.never_ordinary for feature in FEATURES])
    wild[np.ix_(strange, free)] *= 10.0
    kept = [ordinary(features, none_known()) for features in (mild, wild)]
    assert not (kept[0] & strange).any()
    assert not (kept[1] & strange).any()
    assert kept[1].sum() == pytest.approx(kept[0].sum(), rel=0.1)
