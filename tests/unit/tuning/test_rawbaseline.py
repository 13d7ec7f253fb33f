import numpy as np
import pytest

from tuning.generate import generate
from tuning.rawbaseline import raw_column_auc, raw_column_scores, raw_columns


def test_the_set_is_fair_to_detectors_that_know_the_past() -> None:
    """Raw columns alone tell some anomalies, as in reality, but not many."""
    generated = generate("seedlike", events=6_000, seed=1)
    row = raw_column_auc(generated.events, generated.labels)
    assert 0.55 <= row["ensemble"] <= 0.70


def test_scores_are_one_finite_number_per_event() -> None:
    events = generate("seedlike", events=300, seed=1).events
    scores = raw_column_scores(events)
    assert list(scores) == ["isolation_forest", "one_class_svm", "autoencoder", "ensemble"]
    for values in scores.values():
        assert values.shape == (300,)
        assert np.isfinite(values).all()


def test_columns_are_standardised() -> None:
    x = raw_columns(generate("seedlike", events=300, seed=1).events)
    assert x.shape == (300, 11)
    assert x.mean(axis=0) == pytest.approx(np.zeros(11), abs=1e-9)
