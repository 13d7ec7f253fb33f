"""Alert budget -> threshold.

A budget is a promise to analysts: at most N alerts per 1,000 active users per day while nothing is
wrong. Scores are calibrated to the share of ordinary events that score lower, so the promise needs
only one more number, how many events an active user makes a day.
"""

from __future__ import annotations

from collections.abc import Sequence

from preprocessing.event import AuthEvent

DEFAULT_BUDGET = 25.0
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
