from dataclasses import replace

import pytest

from tuning.evaluate import Training, evaluate
from tuning.evaluation.judged import ENSEMBLE, Scored

TRAINING = Training(
    version="2026-11-22.1",
    threshold=0.9,
    budget=25.0,
    quantiles={ENSEMBLE: [0.0, 0.5, 1.0], "svm": [0.0, 0.2, 0.4]},
)


def _scored(types: list[str | None], scores: list[float]) -> Scored:
    return Scored(
        event_ids=[str(n) for n in range(len(types))],
        users=["ada" if n % 2 else "bob" for n in range(len(types))],
        at_s=[86400.0 + n for n in range(len(types))],
        types=types,
        campaigns=[""] * len(types),
        causes=[""] * len(types),
        flagged=[score > TRAINING.threshold for score in scores],
        scores={ENSEMBLE: scores, "svm": [score / 2 for score in scores]},
    )


def test_a_threshold_comes_from_training_scores_alone() -> None:
    assert TRAINING.threshold_at(ENSEMBLE, 0.4) == pytest.approx(0.6)
    assert TRAINING.threshold_at("svm", 0.5) == pytest.approx(0.2)


def test_table_has_every_figure_at_the_expected_share() -> None:
    told = evaluate(
        _scored(["spray", None, "spray", None], [0.95, 0.7, 0.65, 0.1]),
        TRAINING,
        expected_share=0.4,
    )
    assert told["table_at"] == "expected_share"
    svm, ensemble = told["table"]
    assert svm["name"] == "svm"
    told_points = {name: value for name, value in ensemble.items() if "interval" not in name}
    assert told_points == {
        "name": ENSEMBLE,
        "accuracy": 0.75,
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "false_positive_rate": 0.5,
        "roc_auc": 0.75,
        "average_precision": pytest.approx((1 + 2 / 3) / 2),
    }


def test_without_a_share_the_table_is_at_the_budget() -> None:
    told = evaluate(_scored(["spray", None], [0.95, 0.7]), TRAINING)
    assert told["table_at"] == "budget"
    assert told["expected_share"] is None
    assert told["table"][-1]["recall"] == 1.0


def test_alerts_are_counted_against_the_promise() -> None:
    told = evaluate(_scored(["spray", None, None], [0.95, 0.91, 0.1]), TRAINING)
    counted = told["alerts_per_1000_user_days"]
    assert counted["promised"] == 25.0
    assert counted["realised_on_ordinary"] == 500.0
    assert counted["realised_on_all"] == 1000.0
    assert counted["user_days"] == 2


def test_types_are_told_apart() -> None:
    scored = _scored(["spray", None, "travel", "travel"], [0.5, 0.1, 0.95, 0.05])
    spray, travel = evaluate(scored, TRAINING)["types"]
    assert (spray["type"], spray["roc_auc"], spray["events"]) == ("spray", 1.0, 1)
    assert (travel["type"], travel["roc_auc"], travel["mean_score"]) == ("travel", 0.5, 0.5)
    assert travel["at"]["budget"]["recall"] == 0.5
    assert travel["at"]["budget"]["campaign_recall"] is None


@pytest.mark.parametrize("types", [[None, None], ["spray", "spray"], []])
def test_one_class_gives_none_never_nan(types: list[str | None]) -> None:
    told = evaluate(_scored(types, [0.95, 0.1][: len(types)]), TRAINING)
    assert set(told["ranking"][ENSEMBLE].values()) == {None}
    assert len(told["notes"]) == 1


def test_what_was_left_out_is_told() -> None:
    scored = replace(_scored(["spray", None], [0.95, 0.1]), unlabelled=3, duplicates=2, unmatched=1)
    notes = evaluate(scored, TRAINING)["notes"]
    assert notes == [
        "3 events without a label are in no metric",
        "1 labels are for events that did not come",
        "2 repeated events are in no metric",
    ]
