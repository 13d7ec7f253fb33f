"""``Judge``: a bundle's own detectors and combination, asked about variations of one event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.decision import Ensemble
from ensemble.explain.asked import Asked
from ensemble.scorer import BACKGROUND_FILE, ensemble_of
from ensemble.verdict import Verdict, decide
from models.bundle import Bundle
from preprocessing.features import FEATURES, NAMES
from preprocessing.trail import Trails, alone

UNIT = "surprise (-log10 of the share of ordinary events that score higher)"
#: Of a feature's ``value`` and ``usual``: what detectors see (preprocessing/surprise.py).
FEATURE_UNIT = "decades of surprise beyond what one ordinary event in ten shows"

#: The player beside the features: what the user's events before this one looked like.
RECENT = "recent_events"
_RECENT: dict[str, Any] = {
    "family": "sequence",
    "reason": "unusual_sequence",
    "unit": "1 as it was, 0 if nothing had come before",
    "meaning": "what this user's last events looked like, one after the other",
}

Features = NDArray[np.float32]
Values = NDArray[np.float64]


class Judge:
    """Scores *plays*: rows (n, players) of one event's features and, where a detector looks at the
    user's last events, a last column that is 1 if they count and 0 if nothing came before.

    Pure and thread-safe.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.spec = ensemble_of(bundle)
        self._ensemble = Ensemble(self.spec)
        self._scorers = {name: bundle.scorer(name) for name in bundle.detectors}
        self._sequential = [n for n, scorer in self._scorers.items() if scorer.sees == "trails"]
        rows = np.frombuffer(bundle.read(BACKGROUND_FILE), "<f4").reshape(-1, len(FEATURES))
        self.background = self._played(rows, 0.0)
        self.usual: Features = np.median(self.background, axis=0).astype(np.float32)
        self.players: tuple[str, ...] = (*NAMES, *((RECENT,) if self._sequential else ()))

    def play(self, asked: Asked) -> Features:
        """The event as it was, (players,); raises ValueError for another number of features."""
        if asked.values.shape != (len(FEATURES),):
            message = f"expected {len(FEATURES)} features, got an array of shape"
            raise ValueError(f"{message} {asked.values.shape}")
        before = 1.0 if asked.trail is not None else 0.0
        played: Features = self._played(asked.values[np.newaxis], before)[0]
        return played

    def canned(self) -> Asked:
        """A background event as every detector that sees features judges it."""
        verdict = Verdict(
            event_id="canned", user_id="canned", score=0.0, is_anomaly=False, threshold=1.0,
            severity="info", reasons=(), detectors={}, variant="", model_version="",
        )  # fmt: skip
        return Asked(verdict, self.background[0, : len(FEATURES)] + np.float32(1.0))

    def surprise(self, plays: NDArray[Any], asked: Asked) -> Values:
        """Combined surprise of plays (n, players) by the detectors that judged the event, (n,)."""
        features = np.ascontiguousarray(plays[:, : len(FEATURES)], np.float32)
        return self._combined(features, self._by_play(plays, asked), asked)

    def surprise_of(self, features: Features, trails: Trails | None, asked: Asked) -> Values:
        """The same of features (n, d) with a trail for each row."""
        known = {} if trails is None else self._by_trail(trails, asked)
        return self._combined(features, known, asked)

    def share(self, surprise: Values) -> Values:
        """Share of ordinary events that are at least as surprising, in (0, 1]."""
        return self.spec.combined.exceedance(surprise)

    def threshold(self, asked: Asked) -> float:
        """The least combined surprise that would have been flagged."""
        share = 1.0 - asked.verdict.threshold
        low, high = 0.0, 100.0
        for _ in range(60):  # exceedance never rises with surprise
            middle = (low + high) / 2
            over = float(self.share(np.array([middle]))[0]) < share
            low, high = (low, middle) if over else (middle, high)
        return high

    def flagged(self, surprise: Values, asked: Asked) -> NDArray[np.bool_]:
        """Which surprises are over the threshold that the event was held against."""
        threshold = asked.verdict.threshold
        return decide(self.share(surprise), threshold) > 0

    def described(self, play: Features, contributions: Values) -> list[dict[str, Any]]:
        """Every player with its contribution, the largest first."""
        order = np.argsort(-np.abs(contributions), kind="stable")
        return [
            {
                "feature": self.players[index],
                **_about(index),
                "value": float(play[index]),
                "usual": float(self.usual[index]),
                "contribution": float(contributions[index]),
            }
            for index in order.tolist()
        ]

    def left_out(self, asked: Asked) -> list[str]:
        """Detectors that judged the event but cannot be asked again: its trail is not kept."""
        if asked.trail is not None:
            return []
        return [name for name in self._sequential if name in asked.detectors]

    def _combined(self, features: Features, known: Mapping[str, Values], asked: Asked) -> Values:
        raw = dict(known)
        for name in self._asked(asked):
            if name not in self._sequential:
                raw[name] = self._scorers[name].score(features).values
        # The order of the bundle, so that sums round as they did.
        return self._ensemble.combined_surprise({n: raw[n] for n in self._scorers if n in raw})

    def _by_play(self, plays: NDArray[Any], asked: Asked) -> Mapping[str, Values]:
        if asked.trail is None or not self._sequential:
            return {}
        both = self._by_trail(np.concatenate([alone(asked.trail), asked.trail]), asked)
        counts = plays[:, len(FEATURES)].astype(np.intp)
        return {name: scores[counts] for name, scores in both.items()}

    def _by_trail(self, trails: Trails, asked: Asked) -> Mapping[str, Values]:
        names = [name for name in self._asked(asked) if name in self._sequential]
        return {name: self._scorers[name].score(trails).values for name in names}

    def _asked(self, asked: Asked) -> Sequence[str]:
        answered = asked.detectors or self._scorers
        return [name for name in self._scorers if name in answered]

    def _played(self, features: Features, before: float) -> Features:
        if not self._sequential:
            return features
        column = np.full((len(features), 1), before, np.float32)
        return np.concatenate([features, column], axis=1)


def _about(index: int) -> dict[str, Any]:
    if index >= len(FEATURES):
        return _RECENT
    feature = FEATURES[index]
    return {
        "family": feature.family,
        "reason": feature.reason,
        "unit": FEATURE_UNIT,
        "meaning": feature.meaning,
    }
