"""What is caught and what is falsely alerted at each operating point, by type and by cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuning.evaluation.campaigns import Campaigns, found_figures, time_to_detect
from tuning.evaluation.judged import DAY_S, Judged, Mask, Named, Values
from tuning.evaluation.points import Point
from tuning.evaluation.resampling import Clusters, figure, ratio, share

#: Events of one user and cause further apart than this are two occurrences of it: over a weekend
#: a new phone stays the same new phone.
OCCURRENCE_GAP_S = 3 * DAY_S


def at_points(
    judged: Judged, points: Sequence[Point], clusters: Clusters
) -> dict[str, dict[str, Any]]:
    """Figures of each operating point by its name."""
    told = Campaigns.of(judged)
    return {point.name: _at(judged, told, point, clusters) for point in points}


def _at(judged: Judged, told: Campaigns, point: Point, clusters: Clusters) -> dict[str, Any]:
    alerted, anomalous = point.alerted, judged.anomalous
    users, _ = judged.user_days()
    drawn_days = clusters.of_users @ np.bincount(users, minlength=len(judged.users))
    false = int((alerted & ~anomalous).sum())
    every = np.ones(len(judged.campaigns), np.bool_)
    return {
        "threshold": point.threshold,
        "alerts": int(alerted.sum()),
        "alerts_a_day": float(alerted.sum()) / judged.span_days,
        **_share("recall", alerted, anomalous, clusters),
        **_share("precision", anomalous, alerted, clusters),
        **found_figures(time_to_detect(judged, told, alerted), every, clusters),
        **figure(
            "false_positives_per_1000_user_days",
            1000.0 * ratio(false, len(users)),
            1000.0 * ratio(clusters.counts(alerted & ~anomalous), drawn_days),
        ),
    }


def decided(alerted: Mask, anomalous: Mask, clusters: Clusters) -> dict[str, Any]:
    """Confusion counts of a decision over n events, and its rates with their intervals."""
    cells = (alerted & anomalous, alerted & ~anomalous, ~alerted & ~anomalous, ~alerted & anomalous)
    told = _rates(*(float(cell.sum()) for cell in cells))
    drawn = _rates(*(clusters.counts(cell) for cell in cells))
    names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    found: dict[str, Any] = {n: int(cell.sum()) for n, cell in zip(names, cells, strict=True)}
    for name, value in told.items():
        known = value if anomalous.any() or name in ("accuracy", "false_positive_rate") else np.nan
        found |= figure(name, known, drawn[name])
    return found


def _rates(
    hit: Values | float, false: Values | float, quiet: Values | float, missed: Values | float
) -> dict[str, Values]:
    return {
        "accuracy": ratio(hit + quiet, hit + false + quiet + missed),
        "precision": ratio(hit, hit + false),
        "recall": ratio(hit, hit + missed),
        "f1": ratio(2.0 * hit, 2.0 * hit + false + missed),
        "false_positive_rate": ratio(false, false + quiet),
    }


def by_type(
    judged: Judged, points: Sequence[Point], clusters: Clusters
) -> dict[str, dict[str, Any]]:
    """What is found of each anomaly type: events, campaigns and both recalls at each point."""
    told = Campaigns.of(judged)
    delays = {p.name: time_to_detect(judged, told, p.alerted) for p in points}
    found: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(judged.types.names):
        mine, chosen = judged.types.of == k, told.kind == k
        found[name] = {
            "events": int(mine.sum()),
            "users": len(np.unique(judged.users.of[mine])),
            "campaigns": int(chosen.sum()) if len(judged.campaigns) else 0,
            "at": {
                p.name: _share("recall", p.alerted, mine, clusters)
                | found_figures(delays[p.name], chosen, clusters)
                for p in points
            },
        }
    return found


def by_cause(judged: Judged, points: Sequence[Point], clusters: Clusters) -> list[dict[str, Any]]:
    """False alarms by benign cause, no cause (None) last: how many of its events, and of its
    occurrences (runs of one user's events), are alerted."""
    ordinary, runs = ~judged.anomalous, occurrences(judged)
    return [
        {
            "cause": judged.causes.names[k] if k >= 0 else None,
            "events": int(mine.sum()),
            "users": len(np.unique(judged.users.of[mine])),
            "occurrences": len(np.unique(runs.of[mine])) if k >= 0 else None,
            "at": {p.name: _false(judged, p.alerted, mine, runs, k, clusters) for p in points},
        }
        for k in (*range(len(judged.causes)), -1)
        if (mine := ordinary & (judged.causes.of == k)).any()
    ]


def _false(
    judged: Judged, alerted: Mask, mine: Mask, runs: Named, cause: int, clusters: Clusters
) -> dict[str, Any]:
    told = _share("events_alerted", alerted, mine, clusters)
    if cause < 0:
        return told
    first = _first_of(runs, mine)
    hit = np.isin(runs.of, np.unique(runs.of[mine & alerted])) & first
    return told | _share("occurrences_alerted", hit, first, clusters)


def occurrences(judged: Judged) -> Named:
    """Which run of one user's events of one cause each event belongs to, -1 for none."""
    odd = judged.causes.of >= 0
    order = np.lexsort((judged.at_s, judged.causes.of, judged.users.of))
    order = order[odd[order]]
    apart = (
        (np.diff(judged.users.of[order]) != 0)
        | (np.diff(judged.causes.of[order]) != 0)
        | (np.diff(judged.at_s[order]) > OCCURRENCE_GAP_S)
    )
    of = np.full(len(judged), -1, np.intp)
    of[order] = np.cumsum(np.r_[0, apart])[: len(order)]
    return Named(tuple(map(str, range(int(of.max(initial=-1)) + 1))), of)


def _first_of(runs: Named, mine: Mask) -> Mask:
    """One event of each run, which stands for it."""
    places = np.flatnonzero(mine)
    _, first = np.unique(runs.of[places], return_index=True)
    chosen = np.zeros(len(mine), np.bool_)
    chosen[places[first]] = True
    return chosen


def _share(name: str, part: Mask, whole: Mask, clusters: Clusters) -> dict[str, Any]:
    """What share of ``whole`` is also ``part``, with its interval."""
    both = part & whole
    drawn = ratio(clusters.counts(both), clusters.counts(whole))
    return share(name, ratio(both.sum(), whole.sum()), drawn, clusters.met(whole))
