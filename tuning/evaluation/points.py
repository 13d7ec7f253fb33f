"""Operating points: which events are alerted when an analyst can look at so many.

Each is a mask over the judged events, so every later question is asked of all of them alike:

- ``budget``: what the model version alerted itself, at the threshold it was trained with.
- ``per_2000_users_N``: the ``N * users / 2000 * days`` highest scores of the whole judged span,
  users being those who had any event in it and days its length: one threshold, N alerts a day on
  average for every 2,000 users. Busy days have more of them.
- ``each_day_N``: the N highest scores of each UTC day, whatever the number of users: an analyst
  with a fixed working day, who begins at the top.
- ``ordinary_1_percent``: the threshold that 1 % of the ordinary events exceed. It needs labels and
  is there to compare kinds of ordinary events with each other, not to be promised to anybody.

Equal scores are taken in the order of time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.evaluation.judged import ENSEMBLE, Index, Judged, Mask, Values

ALERTS_A_DAY = (10, 50, 100)
PER_USERS = 2000
ORDINARY_SHARE = 0.01
BUDGET = "budget"
ONE_PERCENT = "ordinary_1_percent"


@dataclass(frozen=True, slots=True)
class Point:
    """The events (n,) alerted at one operating point; ``threshold`` is the least score among them
    that is one for all days, None where there is no such score."""

    name: str
    alerted: Mask
    threshold: float | None


def per_users(alerts_a_day: int) -> str:
    return f"per_{PER_USERS}_users_{alerts_a_day}"


def each_day(alerts_a_day: int) -> str:
    return f"each_day_{alerts_a_day}"


def points(judged: Judged, threshold: float) -> list[Point]:
    """Every operating point; ``threshold`` is the one of the budget, for the record."""
    ranked = by_score(judged.scores[ENSEMBLE], judged.at_s)
    for_users = (
        _highest(per_users(alerts), judged, ranked[: _most(judged, alerts)])
        for alerts in ALERTS_A_DAY
    )
    daily = (
        Point(each_day(alerts), _of_each_day(judged, ranked, alerts), None)
        for alerts in ALERTS_A_DAY
    )
    return [Point(BUDGET, judged.flagged, threshold), *for_users, *daily, _ordinary_share(judged)]


def _most(judged: Judged, alerts_a_day: int) -> int:
    return round(alerts_a_day * len(judged.users) / PER_USERS * judged.span_days)


def by_score(scores: Values, at_s: Values) -> Index:
    """Places of the events, the highest score first, and of equal ones the earliest."""
    return np.lexsort((at_s, -scores)).astype(np.intp)


def _highest(name: str, judged: Judged, chosen: Index) -> Point:
    alerted = np.zeros(len(judged), np.bool_)
    alerted[chosen] = True
    scores = judged.scores[ENSEMBLE][chosen]
    return Point(name, alerted, float(scores.min()) if len(scores) else None)


def _of_each_day(judged: Judged, ranked: Index, most: int) -> Mask:
    alerted = np.zeros(len(judged), np.bool_)
    days = judged.days[ranked]
    for day in np.unique(days):
        alerted[ranked[days == day][:most]] = True
    return alerted


def _ordinary_share(judged: Judged) -> Point:
    scores, ordinary = judged.scores[ENSEMBLE], ~judged.anomalous
    if not ordinary.any():
        return Point(ONE_PERCENT, np.zeros(len(judged), np.bool_), None)
    threshold = float(np.quantile(scores[ordinary], 1.0 - ORDINARY_SHARE, method="inverted_cdf"))
    return Point(ONE_PERCENT, scores > threshold, threshold)
