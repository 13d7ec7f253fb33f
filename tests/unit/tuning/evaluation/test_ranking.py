import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation.judged import ENSEMBLE
from tuning.evaluation.ranking import Ranking, Ranks
from tuning.evaluation.resampling import Clusters


def test_each_type_is_ranked_against_ordinary_events_alone() -> None:
    rows = [
        Row("ada", 0, 0.1),
        Row("bob", 0, 0.5),
        Row("ada", 0, 0.9, kind="spray"),
        Row("bob", 0, 0.3, kind="travel"),
        Row("bob", 0, 0.5, kind="travel"),
    ]
    events = judged(rows)
    ranking = Ranking.of(events, Clusters(events), events.scores[ENSEMBLE])
    overall, spray, travel = ranking.overall(), ranking.type(0), ranking.type(1)
    assert spray["roc_auc"] == 1.0
    # 0.3 wins one of two, 0.5 wins one and ties one
    assert travel["roc_auc"] == (1 + 1.5) / 4
    assert overall["roc_auc"] == pytest.approx((2 + 1 + 1.5) / 6)
    assert overall["roc_auc_interval"] is not None


def test_weighted_ranks_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    scores = rng.integers(0, 20, 300) / 20.0
    kind = np.where(rng.random(300) < 0.2, 0, -1).astype(np.intp)
    weights = rng.integers(0, 4, 300).astype(np.float64)
    ranks = Ranks.of(scores, kind, 1)
    truth = kind >= 0
    auc = roc_auc_score(truth, scores, sample_weight=weights)
    assert ranks.roc_auc(weights) == pytest.approx([auc, auc])
    precision = average_precision_score(truth, scores, sample_weight=weights)
    assert ranks.average_precision(weights) == pytest.approx(precision)


def test_without_one_class_there_is_no_ranking() -> None:
    for kind in ("", "spray"):
        events = judged([Row("ada", 0, 0.5, kind=kind)])
        ranking = Ranking.of(events, Clusters(events), events.scores[ENSEMBLE])
        assert set(ranking.overall().values()) == {None}
        assert np.isnan(ranking.of_types).tolist() == [True] * bool(kind)
