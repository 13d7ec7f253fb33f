"""The objective, on a small organisation and with detectors that fit fast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.base import InvalidParameter
from preprocessing.event import AuthEvent
from tuning.counting import Users
from tuning.data import Labels
from tuning.generate import generate
from tuning.objective import (
    EFFORTS,
    Rarity,
    Slices,
    TrialData,
    TuningError,
    baseline,
    evaluations,
    judge,
    slices,
    trial_data,
    truth,
    with_baseline,
)
from tuning.train import TrainingSettings

FAST = TrainingSettings(
    detectors=("one_class_svm",), parameters={"one_class_svm": {"max_rows": 400}}
)


@pytest.fixture(scope="module")
def parts(training_events: list[AuthEvent]) -> Slices:
    return slices(training_events)


@pytest.fixture(scope="module")
def labels() -> Labels:
    """Of ``training_events``."""
    rows = generate("seedlike", events=2000, seed=1).labels
    return Labels({str(row["event_id"]): "attack" if row["is_anomaly"] else None for row in rows})


@pytest.fixture(scope="module")
def data(parts: Slices, labels: Labels) -> TrialData:
    return trial_data(parts, labels, FAST)


@pytest.fixture(scope="module")
def unlabelled(parts: Slices) -> TrialData:
    return trial_data(parts, None, FAST)


def test_slices_follow_each_other_in_time(parts: Slices, training_events: list[AuthEvent]) -> None:
    everything = [*parts.training, *parts.validation, *parts.held_out]
    assert everything == sorted(training_events, key=lambda event: event.timestamp)
    assert [len(part) for part in (parts.training, parts.validation, parts.held_out)] == [
        1200, 400, 400,
    ]  # fmt: skip


def test_too_few_events_are_refused(training_events: list[AuthEvent]) -> None:
    with pytest.raises(TuningError, match=r"499 events are too few.*at least 500"):
        slices(training_events[:499])


def test_a_slice_without_anomalies_is_refused(parts: Slices) -> None:
    nothing = Labels({}, rest_ordinary=True)
    with pytest.raises(TuningError, match=r"no event of the held-out slice \(.*labelled anomalous"):
        truth(parts.held_out, nothing, "held-out")
    every = Labels({event.event_id: "attack" for event in parts.held_out})
    with pytest.raises(TuningError, match="labelled ordinary"):
        truth(parts.held_out, every, "held-out")


def test_what_has_no_label_is_not_judged(parts: Slices) -> None:
    first, second, third = (event.event_id for event in parts.validation[:3])
    judged, anomalous = truth(parts.validation, Labels({first: None, second: "attack"}), "v")
    assert judged.sum() == 2
    assert anomalous.tolist()[:3] == [False, True, False]
    assert third not in (first, second)


def test_trials_report_at_growing_effort(data: TrialData) -> None:
    told = list(evaluations({"one_class_svm.nu": 0.2}, data, FAST))
    assert [metrics["effort"] for metrics in told] == list(EFFORTS)
    assert all(0.0 <= metrics["objective"] <= metrics["recall"] <= 1.0 for metrics in told)


def test_the_same_choice_is_worth_the_same(data: TrialData) -> None:
    choice = {"one_class_svm.nu": 0.2, "windows.failures": "1h"}
    assert list(evaluations(choice, data, FAST)) == list(evaluations(choice, data, FAST))


def test_labels_of_the_training_slice_change_nothing(
    parts: Slices, labels: Labels, data: TrialData
) -> None:
    later = {event.event_id for event in parts.validation}
    fewer = Labels({key: kind for key, kind in labels.types.items() if key in later})
    blind = trial_data(parts, fewer, FAST)
    assert list(evaluations({}, blind, FAST)) == list(evaluations({}, data, FAST))


def test_the_held_out_slice_changes_nothing(parts: Slices, labels: Labels, data: TrialData) -> None:
    other = trial_data(replace(parts, held_out=[]), labels, FAST)
    assert list(evaluations({}, other, FAST)) == list(evaluations({}, data, FAST))


def test_what_a_detector_refuses_is_told(data: TrialData) -> None:
    with pytest.raises(InvalidParameter, match="nu must be"):
        list(evaluations({"one_class_svm.nu": 3.0}, data, FAST))


def whole(choice: dict[str, float], data: TrialData) -> dict[str, float]:
    return list(evaluations(choice, data, FAST))[-1]


@pytest.mark.parametrize("known", ["data", "unlabelled"], ids=["with labels", "without labels"])
def test_a_good_choice_is_worth_more_than_a_bad_one(
    known: str, request: pytest.FixtureRequest
) -> None:
    """A kernel so wide that all the SVM sees is the distance to the middle of everything."""
    shared: TrialData = request.getfixturevalue(known)
    good = whole({}, shared)
    shared = with_baseline(shared, good)
    bad = whole({"one_class_svm.width": 0.001, "one_class_svm.nu": 0.9}, shared)
    assert whole({}, shared)["objective"] > 1.5 * bad["objective"]


def of_one_user(events: int, data: TrialData) -> TrialData:
    """Data in which one user has so many events, half of them anomalous, on 20 days."""
    users = Users(np.zeros(events, np.intp), np.array([20.0]))
    odd = np.arange(events) % 2 == 1
    return replace(data, users=users, judged=odd | True, anomalous=odd, threshold=0.998)


def test_what_is_rarer_than_the_threshold_is_alerted(data: TrialData) -> None:
    later = np.array([0.001, 1e-4, 0.4, 1e-3, 0.9, 0.5, 1.0, 0.01])
    told = judge(Rarity(later, np.empty(0)), of_one_user(8, data))
    assert told["recall"] == 0.5
    assert told["alerts_per_1000"] == 50.0
    assert told["objective"] == 0.25, "twice the alerts allowed"
    # By rarity: caught, an ordinary and a caught one at once, caught, an ordinary, caught.
    assert told["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 6) / 4)


def test_of_equal_recall_the_quieter_choice_is_worth_more(data: TrialData) -> None:
    """Also below what is allowed: with other users it might have been above."""
    users = Users(np.arange(80, dtype=np.intp) % 40, np.full(40, 10.0))
    anomalous = np.arange(80) < 40
    many = replace(data, users=users, judged=anomalous | True, anomalous=anomalous, threshold=0.99)
    loud, quiet = np.where(anomalous, 0.001, 0.5), np.where(anomalous, 0.001, 0.5)
    loud[40:50], quiet[40:45] = 0.001, 0.001
    louder, quieter = (judge(Rarity(each, np.empty(0)), many) for each in (loud, quiet))
    assert (louder["recall"], louder["alerts_per_1000"]) == (1.0, 25.0)
    assert quieter["objective"] > louder["objective"]


def test_the_default_is_allowed_its_own_alerts(data: TrialData) -> None:
    reports = baseline({}, data, FAST)
    assert [metrics["effort"] for metrics in reports] == list(EFFORTS)
    again = list(evaluations({}, with_baseline(data, reports[-1]), FAST))
    assert again == reports


def test_the_default_may_alert_as_much_as_it_does(data: TrialData) -> None:
    assert with_baseline(data, {"alerts_per_1000": 3.0}).allowed == FAST.budget
    assert with_baseline(data, {"alerts_per_1000": 300.0}).allowed == 300.0
