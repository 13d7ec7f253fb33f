"""Alert budget -> threshold.

A budget is a promise to analysts: at most N alerts per 1,000 active users per day while nothing is
wrong. Scores are calibrated to the share of ordinary events that score lower, so the promise needs
only one more number, how many events an active user makes a day.

Scores are calibrated on the very events that the detectors were fitted to. Those hold attacks, and
these raise the threshold more than the fit lowers it: of 25 ordinary alerts promised, eight
generated organisations made 6 to 38. Calibrated on halves scored by each other's detectors they
made 0 to 24, and up to a fifth of what was found was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocessing.event import AuthEvent, AuthKind

DEFAULT_BUDGET = 25.0
#: Fewest alerts that a kind of session makes in training before it has a threshold of its own: one
#: campaign in a small kind would otherwise hide the next one.
LEAST_ALERTS = 20
_DAY_S = 86400.0


def events_per_active_user_day(events: Sequence[AuthEvent]) -> float:
    """Mean number of events of a user on a day (UTC) on which they have any; >= 1 unless empty."""
    user_days = {(event.user_id, event.timestamp.timestamp() // _DAY_S) for event in events}
    return len(events) / max(1, len(user_days))


def threshold_for(alerts_per_1000: float, events_per_user_day: float) -> float:
    """The calibrated score above which ordinary events make at most the budgeted alerts.

    >>> threshold_for(25, 10.0)  # one event in 400 may alert
    0.9975
    """
    share = alerts_per_1000 / 1000.0 / max(events_per_user_day, 1e-9)
    return 1.0 - min(share, 0.5)


def kind_thresholds(
    scores: NDArray[np.float64], kinds: Sequence[AuthKind], threshold: float
) -> dict[AuthKind, float]:
    """Thresholds of the kinds of session that would alert more often per event than promised.

    ``scores`` (n,) are the calibrated scores of ordinary events, ``kinds`` their ``auth_kind``. A
    kind with LEAST_ALERTS or more makes no more alerts than its share of the events, so token
    refreshes drown nobody. What a quiet kind leaves of the budget is not spent: a lower
    threshold there would alert what is ordinary elsewhere.

    >>> calm, noisy = np.linspace(0.0, 0.99, 10_000), np.linspace(0.9, 1.0, 10_000)
    >>> kinds = ["interactive"] * 10_000 + ["token"] * 10_000
    >>> {kind: round(own, 4) for kind, own in
    ...  kind_thresholds(np.append(calm, noisy), kinds, 0.995).items()}
    {'token': 0.9995}
    """
    share = 1.0 - threshold
    names = np.array(kinds)
    found: dict[AuthKind, float] = {}
    for kind in sorted(set(kinds)):
        own = scores[names == kind]
        if len(own) * share < 1.0 or (own > threshold).sum() < LEAST_ALERTS:
            continue
        higher = float(np.quantile(own, threshold, method="higher"))
        if higher > threshold:
            found[kind] = higher
    return found
