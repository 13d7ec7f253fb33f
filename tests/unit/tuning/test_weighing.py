"""Weights of detectors from what they find in a later slice."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.weighing import EQUAL, LEAST_EVENTS, Values, agreement, by_agreement, logistic, weigh

COUNT = 4000


def surprises(seed: int, **noise: float) -> dict[str, Values]:
    """What detectors find of the same events, each seeing them through so much noise."""
    rng = np.random.default_rng(seed)
    strange = rng.exponential(0.43, COUNT)
    seen = {name: strange + s * rng.normal(size=COUNT) for name, s in noise.items()}
    return {name: np.maximum(0.0, values) for name, values in seen.items()}


def nobody() -> np.ndarray:
    return np.zeros(COUNT, np.bool_)


def test_a_detector_that_finds_something_else_counts_nothing() -> None:
    found = surprises(1, one=0.05, two=0.05, three=0.05)
    found["four"] = np.random.default_rng(9).exponential(0.43, COUNT)
    chosen = weigh(found, nobody())
    assert chosen.basis == "agreement"
    assert chosen.weights["four"] == 0.0
    assert min(chosen.weights[name] for name in ("one", "two", "three")) > 0.9


def test_the_weight_is_the_part_of_the_best_ones_agreement() -> None:
    chosen = weigh(surprises(2, one=0.05, two=0.05, three=0.05, four=0.25), nobody())
    best = max(chosen.agreement.values())
    assert max(chosen.weights.values()) == 1.0
    assert 0.5 < chosen.weights["four"] < 0.9
    assert abs(chosen.weights["four"] - chosen.agreement["four"] / best) < 0.002


def test_agreement_of_noise_is_what_chance_finds() -> None:
    found = np.stack([np.random.default_rng(seed).exponential(1.0, COUNT) for seed in range(4)])
    assert agreement(found).max() < 0.06


def test_by_agreement_keeps_who_finds_three_quarters() -> None:
    assert by_agreement(np.array([0.8, 0.64, 0.59])) == pytest.approx([1.0, 0.8, 0.0])


def test_too_little_to_choose_by_is_equal() -> None:
    few = {
        name: values[: LEAST_EVENTS - 1]
        for name, values in surprises(3, one=0.1, two=0.1, three=0.1).items()
    }
    assert weigh(few, nobody()[: LEAST_EVENTS - 1]) == EQUAL
    assert weigh(surprises(3, one=0.1, two=0.1), nobody()) == EQUAL


def test_labels_weigh_the_detector_that_finds_what_is_labelled() -> None:
    found = surprises(4, one=0.1, two=0.1, three=0.1, four=0.2)
    anomalous = nobody()
    anomalous[::50] = True
    found["four"] = np.where(anomalous, found["four"] + 3.0, found["four"])
    chosen = weigh(found, anomalous)
    assert chosen.basis == "labels"
    assert chosen.weights["four"] == 1.0
    assert max(chosen.weights[name] for name in ("one", "two", "three")) < 0.3
    assert chosen.average_precision["labels"] > chosen.average_precision["agreement"]


def test_labels_that_teach_nothing_leave_the_weights_as_they_are() -> None:
    found = surprises(5, one=0.1, two=0.1, three=0.1, four=0.2)
    anomalous = np.random.default_rng(5).random(COUNT) < 0.02
    chosen = weigh(found, anomalous)
    assert chosen.basis == "agreement"
    assert chosen.weights == weigh(found, nobody()).weights
    assert chosen.average_precision["labels"] <= chosen.average_precision["agreement"] + 0.01


def test_a_few_labels_are_no_reason_to_stack() -> None:
    anomalous = nobody()
    anomalous[:10] = True
    assert weigh(surprises(6, one=0.1, two=0.1, three=0.1), anomalous).average_precision == {}


def test_stacking_has_no_negative_weight_and_does_not_heed_how_rare_anomalies_are() -> None:
    rng = np.random.default_rng(7)
    anomalous = rng.random(2000) < 0.1
    counted = np.stack([rng.exponential(size=2000) + 2 * anomalous, rng.exponential(size=2000)])
    counted[1] *= np.where(anomalous, 0.3, 1.0)  # the less the stranger: of no use
    weights = logistic(counted, anomalous)
    assert weights.tolist() == [1.0, 0.0]
    weak = np.stack([counted[0], rng.exponential(size=2000) + 0.5 * anomalous])
    thrice = np.concatenate([np.flatnonzero(anomalous), *[np.flatnonzero(~anomalous)] * 3])
    assert np.allclose(
        logistic(weak, anomalous), logistic(weak[:, thrice], anomalous[thrice]), atol=1e-6
    )
