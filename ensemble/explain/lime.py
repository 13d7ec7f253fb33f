"""``Lime``: a straight line through the scores of events like this one, and how well it fits.

Our own on numpy (Ribeiro, Singh and Guestrin 2016, "Why Should I Trust You?"): SHAP says how the
surprise came about, LIME how it would go on from here if a value were a little different.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

from ensemble.explain.asked import Asked
from ensemble.explain.judge import UNIT, Features, Judge, Values
from preprocessing.features import FEATURES

#: Variations of the event that are scored. With 500 more the largest weight moves by less than 5 %.
SAMPLES = 1000
#: Width of the kernel as a share of the distance to an average background event. The paper's code
#: has 0.75 * sqrt(features) on standardised features, of which that distance is about sqrt(2).
KERNEL_WIDTH = 0.5
#: Penalty on squared weights, as a share of the average column's weighted variance: enough to
#: settle columns that hardly vary.
RIDGE = 1e-3
#: Weighted R2 from which a line tells most, and from which it tells half, of what happens nearby.
GOOD_FIT, FAIR_FIT = 0.8, 0.5


class Lime:
    """A weighted ridge regression of the combined surprise on variations around one event.

    A variation moves about half of the features a random part of the way to the values that one
    background event has there; near ones weigh more: exp(-(distance / width)^2). Seeded by the
    event's id, so the same event gives the same explanation. Stateless and thread-safe.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def explain(self, asked: Asked) -> dict[str, Any]:
        """Weights per feature ready for JSON, with ``fit``, the line's weighted R2 nearby.

        A contribution is the line's, from an average background event to this one. Raises
        ValueError for another number of features.
        """
        judge, play = self._judge, self._judge.play(asked)
        mean = judge.background.mean(axis=0, dtype=np.float64)
        plays = self._variations(play, asked.verdict.event_id)
        moved = plays.astype(np.float64) - play
        near = _kernel(moved, play - mean)
        weights, intercept, fit = _ridge(moved, judge.surprise(plays, asked), near)
        contributions = weights * (play - mean)
        told = judge.described(play, contributions)
        by_name = dict(zip(judge.players, weights.tolist(), strict=True))
        return {
            "method": "lime",
            "unit": UNIT,
            "value": float(judge.surprise(play[np.newaxis], asked)[0]),
            "line": intercept,
            "fit": fit,
            "fit_is": "good" if fit >= GOOD_FIT else "fair" if fit >= FAIR_FIT else "poor",
            "contributions": [each | {"weight": by_name[each["feature"]]} for each in told],
            "samples": SAMPLES,
        }

    def _variations(self, play: Features, event_id: str) -> Features:
        """The event itself and SAMPLES variations, float32 (SAMPLES + 1, players)."""
        random = np.random.default_rng(_seed(event_id))
        background = self._judge.background
        others = background[random.integers(len(background), size=SAMPLES)]
        shape = (SAMPLES, len(play))
        part = np.where(random.random(shape) < 0.5, random.random(shape), 0.0)
        # What came before either counts or does not.
        part[:, len(FEATURES) :] = part[:, len(FEATURES) :] > 0.0
        plays = play + part * (others - play)
        return np.concatenate([play[np.newaxis], plays]).astype(np.float32)


def _seed(event_id: str) -> int:
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big")


def _kernel(moved: Values, whole: Values) -> Values:
    """Weights (n,) in (0, 1] of variations (n, players); ``whole`` is the way to the background."""
    width = max(KERNEL_WIDTH * float(np.linalg.norm(whole)), 1e-6)
    return np.asarray(np.exp(-np.square(np.linalg.norm(moved, axis=1) / width)))


def _ridge(x: Values, y: Values, weight: Values) -> tuple[Values, float, float]:
    """Weights (d,), intercept at x = 0, and weighted R2 of a line through (x, y).

    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> weights, intercept, fit = _ridge(x, 3.0 + x @ [2.0, -1.0], np.ones(4))
    >>> [round(float(each), 2) for each in (*weights, intercept, fit)]
    [2.0, -1.0, 3.0, 1.0]
    """
    share = weight / weight.sum()
    centre, level = share @ x, float(share @ y)
    across, above = x - centre, y - level
    gram = (across * share[:, np.newaxis]).T @ across
    penalty = RIDGE * max(float(np.trace(gram)) / len(gram), 1e-12)
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), across.T @ (share * above))
    return weights, level - float(centre @ weights), _fit(above, above - across @ weights, share)


def _fit(above: Values, left: Values, share: Values) -> float:
    """1 - unexplained / total variance; 1 where nothing varies."""
    total = float(share @ np.square(above))
    return 1.0 - float(share @ np.square(left)) / total if total > 1e-12 else 1.0
