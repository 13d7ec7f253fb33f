"""ztad beside others on the same events: the original report's approach, and a yardstick that
cheats (yardstick.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from preprocessing.event import AuthEvent
from tuning.evaluation.alerts import at_points, decided
from tuning.evaluation.judged import ENSEMBLE, Judged, Values
from tuning.evaluation.points import BUDGET, by_score, points
from tuning.evaluation.ranking import Ranking
from tuning.evaluation.resampling import Clusters, figure, ratio
from tuning.evaluation.watching import Seen
from tuning.evaluation.yardstick import FOLDS, columns_of, cross_fitted
from tuning.rawbaseline import Row, raw_column_scores

REPORT = "original report: "
YARDSTICK = "yardstick with labels: "
STEPS = 1 + 2 * FOLDS * FOLDS


def compare(
    judged: Judged,
    seen: Seen,
    clusters: Clusters,
    *,
    expected_share: float | None = None,
    done: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Figures of ztad and of each other approach, on the same events and the same resamples.

    ``relative_x`` is ztad's figure over the other's. ``at_expected_share`` alerts that share of the
    events themselves, which is what the original report did.
    """
    ours = Ranking.of(judged, clusters, judged.scores[ENSEMBLE])
    rows = [_row(f"ztad: {name}", judged, clusters, s, ours) for name, s in judged.scores.items()]
    for name, scores in _others(judged, seen, done):
        rows.append(_row(name, judged, clusters, scores, ours))
        if expected_share is not None:
            rows[-1]["at_expected_share"] = _at_share(judged, clusters, scores, expected_share)
    return {"rows": rows}


def _others(judged: Judged, seen: Seen, done: Callable[[], None]) -> Iterator[tuple[str, Values]]:
    for name, scores in raw_column_scores([_raw(event) for event in seen.events]).items():
        yield REPORT + name, scores
    done()
    yield YARDSTICK + "features", cross_fitted(judged, seen.features, done=done)
    both = columns_of(seen.features, seen.trails)
    yield YARDSTICK + "features and trails", cross_fitted(judged, both, done=done)


def _row(
    name: str, judged: Judged, clusters: Clusters, scores: Values, ours: Ranking
) -> dict[str, Any]:
    theirs = Ranking.of(judged, clusters, scores)
    nothing = np.zeros(len(judged), np.bool_)
    alone = replace(judged, scores={ENSEMBLE: scores}, flagged=nothing)
    ranked = [point for point in points(alone, 0.0) if point.name != BUDGET]
    return {
        "name": name,
        **theirs.overall(),
        **_relative(ours, theirs),
        "operating_points": at_points(alone, ranked, clusters),
    }


def _relative(ours: Ranking, theirs: Ranking) -> dict[str, Any]:
    auc = figure(
        "relative_roc_auc",
        ratio(ours.roc_auc, theirs.roc_auc),
        ratio(ours.drawn_roc_auc, theirs.drawn_roc_auc),
    )
    precision = figure(
        "relative_average_precision",
        ratio(ours.average_precision, theirs.average_precision),
        ratio(ours.drawn_average_precision, theirs.drawn_average_precision),
    )
    return auc | precision


def _at_share(
    judged: Judged, clusters: Clusters, scores: Values, share: float
) -> Mapping[str, Any]:
    alerted = np.zeros(len(judged), np.bool_)
    alerted[by_score(scores, judged.at_s)[: round(share * len(judged))]] = True
    return decided(alerted, judged.anomalous, clusters)


def _raw(event: AuthEvent) -> Row:
    """The columns that the original report names."""
    return {
        "timestamp": event.timestamp.isoformat(),
        "outcome": event.outcome,
        "auth_method": event.auth_method or "",
        "country": event.country or "",
        "device_id": event.device_id or "",
        "resource": event.resource or "",
        "latitude": event.latitude or 0.0,
        "longitude": event.longitude or 0.0,
        "bytes_transferred": event.bytes_transferred or 0,
        "failed_attempts": event.failed_attempts or 0,
    }
