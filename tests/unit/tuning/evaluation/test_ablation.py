import numpy as np
import pytest

from preprocessing.event import from_mapping
from preprocessing.features import FEATURES
from tuning.data import Labels
from tuning.evaluation.ablation import FAMILIES, ablate, without
from tuning.generate import generate
from tuning.train import TrainingSettings

NOW_S = 4e9


def test_a_family_taken_out_is_ordinary_in_every_event() -> None:
    features = np.ones((2, len(FEATURES)), np.float32)
    left = without(features, FAMILIES[0])
    kept = [feature.family != FAMILIES[0] for feature in FEATURES]
    assert left.tolist() == [np.array(kept, np.float32).tolist()] * 2
    assert features.all()


def test_every_family_has_features() -> None:
    assert {feature.family for feature in FEATURES} == set(FAMILIES)
    assert len(FAMILIES) > 2


@pytest.mark.slow
def test_every_detector_and_every_family_is_told_beside_the_whole() -> None:
    made = generate("seedlike", events=1200, seed=5)
    events = [from_mapping(row, b"", now_s=NOW_S) for row in made.events]
    kinds = {str(row["event_id"]): row for row in made.labels}
    labels = Labels(
        {
            name: str(row["anomaly_type"]) if row["is_anomaly"] else None
            for name, row in kinds.items()
        }
    )
    settings = TrainingSettings(detectors=("isolation_forest", "one_class_svm"))
    rows = ablate(events[:600], events[600:], labels, settings=settings, resamples=20)
    whole, *others = rows
    assert [row["name"] for row in rows] == [
        "ensemble",
        "without isolation_forest",
        "without one_class_svm",
        "only isolation_forest",
        "only one_class_svm",
        *(f"without {family} features" for family in FAMILIES),
    ]
    assert whole["roc_auc"] > 0.6
    assert whole["gain_average_precision"] == 0.0
    for row in others:
        gain = whole["average_precision"] - row["average_precision"]
        assert row["gain_average_precision"] == pytest.approx(gain)
    by_name = {row["name"]: row for row in rows}
    without_forest, only_svm = by_name["without isolation_forest"], by_name["only one_class_svm"]
    assert without_forest["roc_auc"] == only_svm["roc_auc"]
    assert all(row["average_precision"] != whole["average_precision"] for row in others)
