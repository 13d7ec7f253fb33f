"""Several detectors' surprise -> one: pure functions on (n_detectors, n_events).

Surprise is ``-log10`` of the share of ordinary events that score higher: 2 means one ordinary
event in a hundred. Averaging surprise is Fisher's method for combining tail probabilities (Fisher
1925); averaging calibrated scores instead would let one indifferent detector hide any alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Method = Literal["mean", "max", "weighted", "vote"]
METHODS: tuple[Method, ...] = get_args(Method)

#: Surprise from which a detector votes: one ordinary event in a hundred.
VOTE_SURPRISE = 2.0


def surprise(exceedance: Values) -> Values:
    """-log10 of the share of ordinary events that score higher."""
    return np.asarray(-np.log10(exceedance))


def mean(surprises: Values, weights: Values) -> Values:
    return np.asarray(surprises.mean(axis=0))


def maximum(surprises: Values, weights: Values) -> Values:
    return np.asarray(surprises.max(axis=0))


def weighted(surprises: Values, weights: Values) -> Values:
    """Weighted mean; the plain one where only detectors without weight answered."""
    total = weights.sum()
    return np.asarray((weights @ surprises) / total) if total > 0 else mean(surprises, weights)


def vote(surprises: Values, weights: Values) -> Values:
    """Number of detectors that would alarm; the mean surprise, squashed, orders equal votes."""
    average = surprises.mean(axis=0)
    return np.asarray((surprises >= VOTE_SURPRISE).sum(axis=0) + average / (1.0 + average))


COMBINATIONS: dict[str, Callable[[Values, Values], Values]] = {
    "mean": mean,
    "max": maximum,
    "weighted": weighted,
    "vote": vote,
}


def combine(
    surprises: Values, detectors: Sequence[str], *, method: Method, weights: Mapping[str, float]
) -> Values:
    """One surprise per event from those of the detectors that answered, float64 (n_events,)."""
    chosen = np.array([weights.get(name, 1.0) for name in detectors], np.float64)
    return COMBINATIONS[method](surprises, chosen)
