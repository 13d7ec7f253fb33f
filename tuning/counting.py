"""What was caught and what was falsely alerted, user by user, and how far that is chance.

The events of one user rise and fall together, so users are what is drawn again (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocessing.event import AuthEvent
from tuning.train import Mask

#: (..., n_clusters, 4) or sums (..., 4): caught, to be caught, false alerts, user-days.
Counts = NDArray[np.float64]
Values = NDArray[np.float64]
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Users:
    """Whose each of n events is, ``of`` (n,) in [0, n_users), and the user-days (UTC) of each."""

    of: NDArray[np.intp]
    days: Values

    @classmethod
    def of_events(cls, events: Sequence[AuthEvent], judged: Mask) -> Users:
        """Days count where an event is judged."""
        names, of = np.unique(np.array([event.user_id for event in events]), return_inverse=True)
        days = {
            (int(user), event.timestamp.timestamp() // DAY_S)
            for user, event, use in zip(of, events, judged, strict=True)
            if use
        }
        found = np.bincount([user for user, _ in days], minlength=len(names))
        return cls(of.astype(np.intp), found.astype(np.float64))

    def counts(self, alerted: Mask, judged: Mask, anomalous: Mask) -> Counts:
        """Counts (n_users, 4) of n events."""
        return np.stack(
            [
                self._sum(alerted & judged & anomalous),
                self._sum(judged & anomalous),
                self._sum(alerted & judged & ~anomalous),
                self.days,
            ],
            axis=1,
        )

    def _sum(self, rows: Mask) -> Values:
        return np.bincount(self.of[rows], minlength=len(self.days)).astype(np.float64)


def with_made(counts: Counts, caught: Mask) -> Counts:
    """The same and artificial events (k,) to be caught, each a cluster by itself."""
    nothing = np.zeros(len(caught))
    made = np.stack([caught.astype(np.float64), np.ones(len(caught)), nothing, nothing], axis=1)
    return np.concatenate([counts, made])


def resampled(counts: Counts, resamples: int, *, seed: int) -> Counts:
    """Sums (..., resamples, 4) of clusters drawn with replacement, the same for every ``...``."""
    rng = np.random.default_rng(seed)
    clusters = counts.shape[-2]
    times = rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=resamples)
    return np.asarray(times.astype(np.float64) @ counts)


def recall(sums: Counts) -> Values:
    """Share caught of what is to be caught."""
    return np.asarray(sums[..., 0] / np.maximum(1.0, sums[..., 1]))


def alerts(sums: Counts) -> Values:
    """False alerts per 1,000 user-days."""
    return np.asarray(1000.0 * sums[..., 2] / np.maximum(1.0, sums[..., 3]))


def objective(sums: Counts, allowed: float) -> Values:
    """Recall, reduced in proportion where there are more false alerts than allowed.

    >>> sums = np.array([[80.0, 100.0, 1.0, 40.0], [80.0, 100.0, 2.0, 40.0]])
    >>> objective(sums, allowed=25.0).tolist()
    [0.8, 0.4]
    """
    return recall(sums) * np.minimum(1.0, allowed / np.maximum(alerts(sums), 1e-9))
