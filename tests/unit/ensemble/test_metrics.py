import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from ensemble.metrics import average_precision, decisions, roc_auc

NONE = np.zeros(4, np.bool_)


def data(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(300) < rng.uniform(0.05, 0.6)
    scores = rng.normal(size=300) + labels
    return (np.round(scores) if ties else scores), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_as_scikit_learn_says(seed: int, ties: bool) -> None:
    scores, labels = data(seed, ties)
    expected_auc = sklearn_metrics.roc_auc_score(labels, scores)
    expected_ap = sklearn_metrics.average_precision_score(labels, scores)
    assert roc_auc(scores, labels) == pytest.approx(expected_auc, abs=1e-12)
    assert average_precision(scores, labels) == pytest.approx(expected_ap, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_decisions_as_scikit_learn_says(seed: int) -> None:
    scores, labels = data(seed, ties=False)
    flagged = scores > 0.7
    told = decisions(flagged, labels)
    tn, fp, fn, tp = sklearn_metrics.confusion_matrix(labels, flagged).ravel().tolist()
    counts = (
        told.true_negatives,
        told.false_positives,
        told.false_negatives,
        told.true_positives,
    )
    assert counts == (tn, fp, fn, tp)
    assert told.accuracy == pytest.approx(sklearn_metrics.accuracy_score(labels, flagged))
    assert told.precision == pytest.approx(sklearn_metrics.precision_score(labels, flagged))
    assert told.recall == pytest.approx(sklearn_metrics.recall_score(labels, flagged))
    assert told.f1 == pytest.approx(sklearn_metrics.f1_score(labels, flagged))


def test_all_scores_equal_rank_by_chance() -> None:
    labels = np.array([True, False, False, True])
    assert roc_auc(np.ones(4), labels) == 0.5
    assert average_precision(np.ones(4), labels) == 0.5


@pytest.mark.parametrize("labels", [NONE, ~NONE])
def test_one_class_has_no_area(labels: np.ndarray) -> None:
    assert math.isnan(roc_auc(np.arange(4.0), labels))


def test_no_anomalies_no_precision() -> None:
    assert math.isnan(average_precision(np.arange(4.0), NONE))


def test_rates_without_a_denominator_are_zero() -> None:
    told = decisions(NONE, NONE)
    assert (told.precision, told.recall, told.f1, told.accuracy) == (0.0, 0.0, 0.0, 1.0)
    assert decisions(NONE[:0], NONE[:0]).accuracy == 0.0
