"""How well scores rank anomalies above ordinary events, overall and by anomaly type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.evaluation.judged import Index, Judged, Mask, Values
from tuning.evaluation.resampling import Clusters, figure, ratio


@dataclass(frozen=True, slots=True)
class Ranks:
    """n events by score: ``level`` (n,) is the place of an event's score among the distinct ones,
    lowest first; ``kind`` (n,) its anomaly type, -1 for an ordinary event."""

    level: Index
    levels: int
    kind: Index
    kinds: int

    @classmethod
    def of(cls, scores: Values, kind: Index, kinds: int) -> Ranks:
        distinct, level = np.unique(scores, return_inverse=True)
        return cls(level.astype(np.intp), len(distinct), kind, kinds)

    def roc_auc(self, weights: Values) -> Values:
        """(kinds + 1,): ROC-AUC of all anomalies, then of each type, against ordinary events.

        ``weights`` (n,) say how often an event counts. Ties count half; NaN without one class.
        """
        ordinary = self._at_levels(self.kind < 0, weights)
        below = np.cumsum(ordinary) - ordinary / 2.0
        odd = np.flatnonzero(self.kind >= 0)
        won = weights[odd] * below[self.level[odd]]
        mine = np.bincount(self.kind[odd], weights[odd], minlength=self.kinds)
        wins = np.bincount(self.kind[odd], won, minlength=self.kinds)
        return ratio(np.r_[wins.sum(), wins], np.r_[mine.sum(), mine] * ordinary.sum())

    def average_precision(self, weights: Values) -> float:
        """Area under the precision-recall steps, ties taken together; NaN without anomalies."""
        hits = np.cumsum(self._at_levels(self.kind >= 0, weights)[::-1])
        every = np.cumsum(np.bincount(self.level, weights, minlength=self.levels)[::-1])
        if not len(hits) or not hits[-1]:
            return float("nan")
        precision = hits / np.maximum(every, 1e-12)
        return float(np.diff(np.r_[0.0, hits]) @ precision / hits[-1])

    def _at_levels(self, rows: Mask, weights: Values) -> Values:
        sums = np.bincount(self.level[rows], weights[rows], minlength=self.levels)
        return sums.astype(np.float64)


def ranking(
    judged: Judged, clusters: Clusters, scores: Values
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """ROC-AUC and average precision of scores (n,) with intervals, and ROC-AUC of each type."""
    ranks = Ranks.of(scores, judged.types.of, len(judged.types))
    once = np.ones(len(judged))
    drawn = np.array([_both(ranks, draw[clusters.of]) for draw in clusters.draws])
    drawn = drawn.reshape(-1, len(judged.types) + 2)
    told = _both(ranks, once)
    overall = figure("roc_auc", told[0], drawn[:, 0]) | figure(
        "average_precision", _needs_both(judged, told[-1]), drawn[:, -1]
    )
    each = [figure("roc_auc", told[1 + k], drawn[:, 1 + k]) for k in range(len(judged.types))]
    return overall, each


def _both(ranks: Ranks, weights: Values) -> Values:
    """(kinds + 2,): the ROC-AUCs, then the average precision."""
    return np.append(ranks.roc_auc(weights), ranks.average_precision(weights))


def _needs_both(judged: Judged, value: float) -> float:
    """Among anomalies alone every precision is 1, which says nothing."""
    return float("nan") if judged.anomalous.all() else value
