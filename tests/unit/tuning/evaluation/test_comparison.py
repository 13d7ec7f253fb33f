from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from preprocessing.event import AuthEvent
from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation import yardstick
from tuning.evaluation.comparison import REPORT, YARDSTICK, compare
from tuning.evaluation.resampling import Clusters
from tuning.evaluation.watching import Seen

BEGAN = datetime(1970, 1, 1, tzinfo=UTC)


def test_others_judge_the_same_events_and_ztad_is_told_relative_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attacks fail from abroad: the raw columns tell them, and so does the one feature."""
    rows = [
        Row(
            f"u{n % 40}",
            n / 40,
            0.2 + 0.0001 * n,
            *(("theft", f"c{n // 50}") if n % 5 == 0 else ()),
        )
        for n in range(800)
    ]
    events = judged(rows)
    anomalous = events.anomalous
    seen = Seen(
        [
            AuthEvent(
                BEGAN + timedelta(days=row.day),
                row.user,
                "failure" if row.kind else "success",
                event_id=str(n),
                country="KP" if row.kind else "DE",
                failed_attempts=9 if row.kind else 0,
            )
            for n, row in enumerate(rows)
        ],
        np.array(anomalous, np.float32)[:, None],
        np.zeros((len(rows), 2, 2), np.uint8),
    )
    monkeypatch.setattr(yardstick, "FOLDS", 2)
    done: list[None] = []
    told = compare(
        events,
        seen,
        Clusters(events, resamples=40),
        expected_share=0.2,
        done=lambda: done.append(None),
    )
    by_name = {row["name"]: row for row in told["rows"]}
    assert len(done) == 1 + 2 * 2 * 2
    ours, report = by_name["ztad: ensemble"], by_name[REPORT + "isolation_forest"]
    cheat = by_name[YARDSTICK + "features"]
    assert ours["relative_roc_auc"] == 1.0
    assert cheat["roc_auc"] == cheat["average_precision"] == 1.0
    assert cheat["relative_roc_auc"] == ours["roc_auc"]
    assert cheat["relative_roc_auc_interval"] == ours["roc_auc_interval"]
    assert report["roc_auc"] > 0.95
    assert report["at_expected_share"]["recall"] > 0.8
    assert "budget" not in report["operating_points"]
