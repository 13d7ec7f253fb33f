import numpy as np

from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation.alerts import decided
from tuning.evaluation.resampling import Clusters


def test_counts_and_rates_of_a_decision() -> None:
    kinds = ["theft"] * 4 + [""] * 6
    events = judged(Row(f"u{n}", n, 0.5, kind) for n, kind in enumerate(kinds))
    alerted = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0], np.bool_)
    told = decided(alerted, events.anomalous, Clusters(events))
    assert [told[name] for name in ("true_positives", "false_positives")] == [3, 1]
    assert [told[name] for name in ("true_negatives", "false_negatives")] == [5, 1]
    assert told["accuracy"] == 0.8
    assert told["precision"] == told["recall"] == told["f1"] == 0.75
    assert told["false_positive_rate"] == 1 / 6
    low, high = told["recall_interval"]
    assert low < 0.75 < high


def test_no_alert_has_no_precision() -> None:
    events = judged([Row("ada", 1, 0.5, "theft"), Row("bob", 1, 0.5)])
    told = decided(np.zeros(2, np.bool_), events.anomalous, Clusters(events))
    assert told["precision"] is None
    assert told["recall"] == 0.0
