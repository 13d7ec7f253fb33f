"""How good a ranking or a decision was, against labels. Scores: higher = more anomalous."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Counts and rates of one decision rule; a rate without a denominator is 0."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    accuracy: float
    precision: float
    recall: float
    f1: float


def roc_auc(scores: Scores, labels: Labels) -> float:
    """Probability that an anomaly scores above an ordinary event, ties half (Mann-Whitney U).

    NaN unless both classes are present.

    >>> float(roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])))
    0.75
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2.0)[inverse]
    rank_sum = float(ranks[labels].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)


def average_precision(scores: Scores, labels: Labels) -> float:
    """Area under the precision-recall steps, ties taken together; NaN without anomalies."""
    positives = int(labels.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.cumsum(labels[order])
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    precision = hits[last] / (last + 1)
    recall = hits[last] / positives
    return float(np.sum(np.diff(np.r_[0.0, recall]) * precision))


def decisions(flagged: NDArray[np.bool_], labels: Labels) -> Decisions:
    """Confusion counts and the usual rates of a yes/no rule."""
    hit = int((flagged & labels).sum())
    false_alarm = int((flagged & ~labels).sum())
    missed = int((~flagged & labels).sum())
    quiet = len(labels) - hit - false_alarm - missed
    precision = hit / max(1, hit + false_alarm)
    recall = hit / max(1, hit + missed)
    return Decisions(
        true_positives=hit,
        false_positives=false_alarm,
        true_negatives=quiet,
        false_negatives=missed,
        accuracy=(hit + quiet) / max(1, len(labels)),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(1e-12, precision + recall),
    )
