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


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well one score ranks: told, and in every resample.

    ``of_types`` (kinds,) and ``drawn_types`` (resamples, kinds) are ROC-AUCs by anomaly type.
    """

    roc_auc: float
    average_precision: float
    of_types: Values
    drawn_roc_auc: Values
    drawn_average_precision: Values
    drawn_types: Values

    @classmethod
    def of(cls, judged: Judged, clusters: Clusters, scores: Values) -> Ranking:
        """Of scores (n,), higher is more anomalous."""
        ranks = Ranks.of(scores, judged.types.of, len(judged.types))
        told = _both(ranks, np.ones(len(judged)))
        drawn = np.array([_both(ranks, draw[clusters.of]) for draw in clusters.draws])
        drawn = drawn.reshape(-1, len(told))
        # Among anomalies alone every precision is 1, which says nothing.
        precision = float("nan") if judged.anomalous.all() else float(told[-1])
        return cls(float(told[0]), precision, told[1:-1], drawn[:, 0], drawn[:, -1], drawn[:, 1:-1])

    def overall(self) -> dict[str, object]:
        """Both figures with their intervals."""
        return figure("roc_auc", self.roc_auc, self.drawn_roc_auc) | figure(
            "average_precision", self.average_precision, self.drawn_average_precision
        )

    def type(self, kind: int) -> dict[str, object]:
        """ROC-AUC of one anomaly type against ordinary events, with its interval."""
        return figure("roc_auc", self.of_types[kind], self.drawn_types[:, kind])


def _both(ranks: Ranks, weights: Values) -> Values:
    """(kinds + 2,): the ROC-AUCs, then the average precision."""
    return np.append(ranks.roc_auc(weights), ranks.average_precision(weights))
