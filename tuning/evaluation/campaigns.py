"""Which campaigns were found, and how long that took.

A campaign is found when at least one of its events is alerted. Time to detect runs from its first
judged event to its first alert, so it is 0 where the first event was alerted, and exists for found
campaigns alone. A campaign is of the type that most of its events have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuning.evaluation.judged import Index, Judged, Mask, Values
from tuning.evaluation.points import Point
from tuning.evaluation.resampling import Clusters, interval, ratio, share


@dataclass(frozen=True, slots=True)
class Campaigns:
    """k campaigns as columns (k,): ``kind`` is a place in the judged events' types."""

    kind: Index
    events: Values
    users: Index
    first_s: Values
    last_s: Values

    @classmethod
    def of(cls, judged: Judged) -> Campaigns:
        inside = judged.campaigns.of >= 0
        of, at_s, count = judged.campaigns.of[inside], judged.at_s[inside], len(judged.campaigns)
        kinds = np.zeros((count, max(1, len(judged.types))), np.intp)
        np.add.at(kinds, (of, judged.types.of[inside]), 1)
        pairs = np.unique(np.stack([of, judged.users.of[inside]]), axis=1)
        return cls(
            kind=kinds.argmax(axis=1),
            events=np.bincount(of, minlength=count).astype(np.float64),
            users=np.bincount(pairs[0], minlength=count),
            first_s=_least(of, at_s, count),
            last_s=-_least(of, -at_s, count),
        )


def time_to_detect(judged: Judged, told: Campaigns, alerted: Mask) -> Values:
    """Seconds (k,) until the first alert of each campaign; infinite for one that is not found."""
    rows = alerted & (judged.campaigns.of >= 0)
    of = judged.campaigns.of[rows]
    return _least(of, judged.at_s[rows], len(judged.campaigns)) - told.first_s


def found_figures(delays_s: Values, chosen: Mask, clusters: Clusters) -> dict[str, Any]:
    """Campaign recall with its interval, and the median time to detect, of chosen campaigns."""
    found = np.isfinite(delays_s) & chosen
    drawn = clusters.of_campaigns
    recall = ratio(found.sum(), chosen.sum())
    delays = _medians(drawn[:, found], delays_s[found])
    median = float(np.median(delays_s[found])) if found.any() else float("nan")
    return {
        **share("campaign_recall", recall, ratio(drawn @ found, drawn @ chosen), int(chosen.sum())),
        "median_time_to_detect_s": None if np.isnan(median) else median,
        "median_time_to_detect_s_interval": interval(delays) if found.any() else None,
    }


def each_campaign(judged: Judged, points: Sequence[Point]) -> list[dict[str, Any]]:
    """Every campaign by its beginning, with the seconds to its detection at each point."""
    told = Campaigns.of(judged)
    delays = {p.name: time_to_detect(judged, told, p.alerted) for p in points}
    return [
        {
            "campaign": judged.campaigns.names[k],
            "type": judged.types.names[told.kind[k]],
            "events": int(told.events[k]),
            "users": int(told.users[k]),
            "first_s": float(told.first_s[k]),
            "lasted_s": float(told.last_s[k] - told.first_s[k]),
            "time_to_detect_s": {
                name: float(s[k]) if np.isfinite(s[k]) else None for name, s in delays.items()
            },
        }
        for k in np.argsort(told.first_s, kind="stable")
    ]


def _least(of: Index, values: Values, count: int) -> Values:
    """The least value of each of ``count`` groups, infinite for an empty one."""
    least = np.full(count, np.inf)
    np.minimum.at(least, of, values)
    return least


def _medians(times: Values, values: Values) -> Values:
    """The median of ``values`` (k,) when each counts ``times`` (resamples, k)."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(times[:, order], axis=1)
    if not upto.size:
        return np.full(len(times), np.nan)
    places = (upto < upto[:, -1:] / 2.0).sum(axis=1)
    return np.where(upto[:, -1] > 0.0, values[order][np.minimum(places, len(order) - 1)], np.nan)
