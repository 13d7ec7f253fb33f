"""How good a bundle is on labelled events: rankings, and decisions at thresholds set beforehand.

No threshold that a version is praised for is chosen on the labels it is judged by: one follows from
the alert budget, one from the scores of the training events, others from ranks. Labels are looked
up after scoring. What is measured how: docs/evaluation.md and tuning/evaluation/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.manifest import BundleError, Manifest
from tuning.evaluation.alerts import at_points, by_cause, by_type, decided
from tuning.evaluation.budget import Change, changes, realised
from tuning.evaluation.campaigns import each_campaign
from tuning.evaluation.judged import ENSEMBLE, Judged, Scored
from tuning.evaluation.points import BUDGET, points
from tuning.evaluation.ranking import Ranking
from tuning.evaluation.resampling import RESAMPLES, Clusters

#: Metrics by name; None where there is nothing to compute one from.
Figures = dict[str, Any]
#: Figures of other approaches to the same events.
Others = Callable[[Judged, Clusters], Mapping[str, Any]]
_BOTH = "needs both ordinary and anomalous events"


@dataclass(frozen=True, slots=True)
class Training:
    """What evaluation takes from a bundle, all of it fixed before a label is seen.

    ``quantiles`` maps the ensemble and each detector to its calibrated scores of the training
    events at evenly spaced quantiles.
    """

    version: str
    threshold: float
    budget: float
    quantiles: Mapping[str, list[float]]

    @classmethod
    def of(cls, manifest: Manifest, *, threshold: float, budget: float) -> Training:
        """Raises BundleError where the bundle does not tell its training scores."""
        settings = manifest.details.settings
        try:
            quantiles = {ENSEMBLE: settings["score_quantiles"], **settings["detector_quantiles"]}
        except KeyError as missing:
            raise BundleError(manifest.version, f"has no {missing} in its settings") from None
        return cls(manifest.version, threshold, budget, quantiles)

    def threshold_at(self, name: str, share: float) -> float:
        """The score that ``share`` of the training events exceed, but for the first of them."""
        points = self.quantiles[name]
        return float(np.interp(1.0 - share, np.linspace(0.0, 1.0, len(points)), points))


def evaluate(
    scored: Scored,
    training: Training,
    *,
    expected_share: float | None = None,
    known_changes: Sequence[Change] = (),
    others: Others | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Everything ``ztad evaluate`` tells, ready for JSON; what cannot be computed is None.

    ``table`` holds the figures of each detector and the ensemble at the threshold for the expected
    share, or without one at that of the budget. An entry ``x_interval`` is the 95 % interval of
    ``x`` over users and campaigns. ``others`` are told in ``comparison``.
    """
    judged = Judged.of(scored)
    clusters = Clusters(judged, resamples=resamples)
    found = points(judged, training.threshold)
    ranked = {name: Ranking.of(judged, clusters, s) for name, s in judged.scores.items()}
    overall = {name: ranking.overall() for name, ranking in ranked.items()}
    decisions = _decided(judged, _thresholds(judged, training, expected_share), clusters)
    table_at = list(decisions)[-1]
    return {
        "model_version": training.version,
        "events": _counts(scored, judged),
        "ranking": overall,
        "expected_share": expected_share,
        **{f"at_{at}": figures for at, figures in decisions.items()},
        "operating_points": at_points(judged, found, clusters),
        "alerts_per_1000_user_days": realised(judged, training.budget, clusters),
        "changes": changes(judged, known_changes, clusters),
        "table_at": table_at,
        "table": _table(decisions[table_at], overall),
        "types": _types(judged, ranked, by_type(judged, found, clusters)),
        "comparison": others(judged, clusters) if others else None,
        "causes": by_cause(judged, found, clusters),
        "campaigns": each_campaign(judged, found),
        "notes": _notes(scored, judged),
    }


def _thresholds(
    judged: Judged, training: Training, share: float | None
) -> dict[str, dict[str, float]]:
    """Thresholds by detector; at the budget all of them have the ensemble's."""
    found = {BUDGET: dict.fromkeys(judged.scores, training.threshold)}
    if share is not None:
        found["expected_share"] = {n: training.threshold_at(n, share) for n in judged.scores}
    return found


def _decided(
    judged: Judged, thresholds: Mapping[str, Mapping[str, float]], clusters: Clusters
) -> dict[str, dict[str, Figures]]:
    """Decisions of each detector at each threshold; at the budget the ensemble's are its own."""
    return {
        at: {
            name: {"threshold": chosen[name]}
            | decided(
                judged.flagged if (at, name) == (BUDGET, ENSEMBLE) else values > chosen[name],
                judged.anomalous,
                clusters,
            )
            for name, values in judged.scores.items()
        }
        for at, chosen in thresholds.items()
    }


def _counts(scored: Scored, judged: Judged) -> dict[str, int | float]:
    return {
        "labelled": len(judged),
        "anomalous": int(judged.anomalous.sum()),
        "users": len(judged.users),
        "campaigns": len(judged.campaigns),
        "days": judged.span_days,
        "alerts": int(judged.flagged.sum()),
        "learning": scored.learning,
        "late": scored.late,
        "without_label": scored.unlabelled,
        "duplicates": scored.duplicates,
        "labels_without_event": scored.unmatched,
    }


def _table(
    decided: Mapping[str, Figures], overall: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The original report's columns, the ensemble last."""
    names = [*sorted(name for name in decided if name != ENSEMBLE), ENSEMBLE]
    columns = ("accuracy", "precision", "recall", "f1", "false_positive_rate")
    shown = [*columns, *(f"{column}_interval" for column in columns)]
    return [
        {"name": name, **{c: decided[name][c] for c in shown}, **overall[name]} for name in names
    ]


def _types(
    judged: Judged,
    ranked: Mapping[str, Ranking],
    found: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Each anomaly type: how well it is ranked above ordinary events, and what of it is found."""
    scores = judged.scores[ENSEMBLE]
    return [
        {
            "type": name,
            "mean_score": float(scores[judged.types.of == k].mean()),
            **ranked[ENSEMBLE].type(k),
            "roc_auc_by_detector": {n: each.type(k)["roc_auc"] for n, each in ranked.items()},
            **found[name],
        }
        for k, name in enumerate(judged.types.names)
    ]


def _notes(scored: Scored, judged: Judged) -> list[str]:
    notes = []
    if not len(judged):
        notes.append("no event has a label, so there is nothing to judge")
    elif not judged.anomalous.any():
        notes.append(f"no event is labelled anomalous: every metric that {_BOTH} is null")
    elif judged.anomalous.all():
        notes.append(f"every event is labelled anomalous: every metric that {_BOTH} is null")
    if scored.unlabelled:
        notes.append(f"{scored.unlabelled:,} events without a label are in no metric")
    if scored.unmatched:
        notes.append(f"{scored.unmatched:,} labels are for events that did not come")
    if scored.duplicates:
        notes.append(f"{scored.duplicates:,} repeated events are in no metric")
    return notes
