"""``Shap``: how much each feature added to, or took from, the surprise of one event.

The only file that imports shap, and it does so when an explainer is made: the import brings
scikit-learn and numba and takes seconds, which scoring must not pay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.explain.asked import Asked
from ensemble.explain.judge import UNIT, Features, Judge, Values

#: Background events explained against, and pairs of a permutation and its reverse. One pair is
#: exact for interactions of two features. Measured on 33 features against 100 events and 20 pairs:
#: a contribution is off by 0.004 on average, the worst of an event by 0.024, where its largest is
#: 1.7; 15 ms. 25 events and one pair: 0.005, 0.034, 4 ms.
BACKGROUND_EVENTS = 50
PAIRS = 2
SEED = 7


class Shap:
    """Shapley values of the combined surprise, by antithetic permutations (Lundberg and Lee 2017).

    A hidden feature takes the values it has in the bundle's background events. Deterministic: the
    same event gives the same explanation byte for byte. Thread-safe, one explanation at a time.
    Making one compiles shap's loops, which takes seconds.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._asked = canned = judge.canned()
        self._lock = Lock()
        self.background = _representative(
            judge.background, judge.surprise(judge.background, canned)
        )
        with _seeded():
            self._explainer = _explainer(self._surprise, self.background, judge.players)
        self.explain(canned)

    def explain(self, asked: Asked) -> dict[str, Any]:
        """Contributions in decades of surprise, ready for JSON.

        ``base``, what an average background event scores, and all contributions add up to
        ``value``. Raises ValueError for another number of features.
        """
        play = self._judge.play(asked)
        base, contributions = self._contributions(play, asked)
        return {
            "method": "shap",
            "unit": UNIT,
            "base": base,
            "value": float(self._judge.surprise(play[np.newaxis], asked)[0]),
            "contributions": self._judge.described(play, contributions),
            "background_events": len(self.background),
        }

    def _surprise(self, plays: NDArray[Any]) -> Values:
        return self._judge.surprise(plays, self._asked)

    def _contributions(self, play: Features, asked: Asked) -> tuple[float, Values]:
        # A permutation takes 2 v + 1 evaluations for v features that differ from the background,
        # so an event that differs in few of them gets more pairs for the same price.
        evaluations = PAIRS * (2 * len(play) + 1)
        with self._lock, _seeded():
            self._asked = asked
            explanation = self._explainer(play[np.newaxis], max_evals=evaluations, silent=True)
        base = float(np.asarray(explanation.base_values).ravel()[0])
        return base, np.asarray(explanation.values[0], np.float64)


def _explainer(surprise: Any, background: Features, players: tuple[str, ...]) -> Any:
    import shap

    masker = shap.maskers.Independent(background, max_samples=len(background))
    return shap.PermutationExplainer(surprise, masker, feature_names=list(players))


def _representative(rows: Features, surprises: Values) -> Features:
    """At most BACKGROUND_EVENTS rows, one from the middle of each slice by surprise."""
    count = min(BACKGROUND_EVENTS, len(rows))
    middles = ((np.arange(count) + 0.5) * len(rows) / count).astype(np.intp)
    return rows[np.argsort(surprises, kind="stable")[middles]]


@contextmanager
def _seeded() -> Iterator[None]:
    """shap seeds and uses numpy's global generator: ours for the block, then put back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
