"""How good a bundle is on labelled events: rankings, and decisions at thresholds set beforehand.

No threshold is ever chosen on the labels it is judged by: one follows from the alert budget, the
other from the scores of the training events. Labels are looked up after scoring.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.metrics import average_precision, decisions, roc_auc
from ensemble.scorer import Scorer
from models.manifest import BundleError, Manifest
from preprocessing.event import AuthEvent
from tuning.data import Labels

#: How the combination of all detectors is called beside them.
ENSEMBLE = "ensemble"

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: Metrics by name; None where there is nothing to compute one from.
Figures = dict[str, float | None]
_DAY_S = 86400.0
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
        """The score that ``share`` of the training events exceed."""
        points = self.quantiles[name]
        return float(np.interp(1.0 - share, np.linspace(0.0, 1.0, len(points)), points))


@dataclass(slots=True)
class Scored:
    """Labelled events in order with their calibrated scores, and a count of what was left out.

    ``scores`` has one list for the ensemble and one for each detector; ``types`` is None for an
    ordinary event; ``unlabelled`` and ``duplicates`` are in no metric.
    """

    event_ids: list[str] = field(default_factory=list)
    types: list[str | None] = field(default_factory=list)
    flagged: list[bool] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    user_days: set[tuple[str, float]] = field(default_factory=set)
    learning: int = 0
    late: int = 0
    unlabelled: int = 0
    duplicates: int = 0
    unmatched: int = 0
    """Labels whose event never came."""


def score_labelled(
    batches: Iterable[list[AuthEvent]], scorer: Scorer, labels: Labels, *, now_s: float
) -> Scored:
    """Score events as ``ztad score`` does, then look up what is known about them."""
    scored = Scored(scores={name: [] for name in (ENSEMBLE, *scorer.detectors)})
    met = 0
    for batch in batches:
        for event, verdict in zip(batch, scorer.score(batch, now_s=now_s), strict=True):
            if verdict.duplicate:
                scored.duplicates += 1
                continue
            if not labels.knows(event.event_id):
                scored.unlabelled += 1
                continue
            met += event.event_id in labels.types
            scored.event_ids.append(event.event_id)
            scored.types.append(labels.types.get(event.event_id))
            scored.flagged.append(verdict.is_anomaly)
            scored.user_days.add((event.user_id, event.timestamp.timestamp() // _DAY_S))
            scored.learning += verdict.learning
            scored.late += verdict.late
            for name, score in ((ENSEMBLE, verdict.score), *verdict.detectors.items()):
                scored.scores[name].append(score)
    scored.unmatched = len(labels.types) - met
    return scored


def evaluate(
    scored: Scored, training: Training, *, expected_share: float | None = None
) -> dict[str, Any]:
    """Everything ``ztad evaluate`` tells, ready for JSON; what cannot be computed is None.

    ``table`` holds the figures of each detector and the ensemble at the threshold for the expected
    share, or without one at that of the budget.
    """
    scores = {name: np.array(values, np.float64) for name, values in scored.scores.items()}
    anomalous = np.array([kind is not None for kind in scored.types], np.bool_)
    thresholds = {"budget": dict.fromkeys(scores, training.threshold)}
    if expected_share is not None:
        thresholds["expected_share"] = {
            name: training.threshold_at(name, expected_share) for name in scores
        }
    ranking = {name: _ranking(values, anomalous) for name, values in scores.items()}
    decided = {at: _decided(scores, chosen, anomalous) for at, chosen in thresholds.items()}
    table_at = list(decided)[-1]
    return {
        "model_version": training.version,
        "events": _counts(scored, anomalous),
        "ranking": ranking,
        "expected_share": expected_share,
        **{f"at_{at}": figures for at, figures in decided.items()},
        "alerts_per_1000_user_days": _alerts(scored, anomalous, training.budget),
        "table_at": table_at,
        "table": _table(decided[table_at], ranking),
        "types": list(_types(scored, scores[ENSEMBLE], thresholds)),
        "notes": _notes(scored, anomalous),
    }


def _ranking(scores: Values, anomalous: Mask) -> Figures:
    if not _has_both(anomalous):
        return {"roc_auc": None, "average_precision": None}
    return {
        "roc_auc": float(roc_auc(scores, anomalous)),
        "average_precision": float(average_precision(scores, anomalous)),
    }


def _decided(
    scores: Mapping[str, Values], thresholds: Mapping[str, float], anomalous: Mask
) -> dict[str, Figures]:
    return {name: _at(values, thresholds[name], anomalous) for name, values in scores.items()}


def _at(scores: Values, threshold: float, anomalous: Mask) -> Figures:
    """Counts and rates of ``score > threshold``."""
    told: Figures = dict(decisions(scores > threshold, anomalous).as_dict())
    if not len(anomalous):
        told["accuracy"] = None
    if not anomalous.any():
        told |= {"precision": None, "recall": None, "f1": None}
    return {"threshold": threshold, **told}


def _alerts(scored: Scored, anomalous: Mask, promised: float) -> Figures:
    """The budget is a promise about ordinary events; both counts are told."""
    days, flagged = len(scored.user_days), np.array(scored.flagged, np.bool_)
    per_1000 = 1000.0 / max(1, days)
    return {
        "promised": promised,
        "realised_on_ordinary": per_1000 * int((flagged & ~anomalous).sum()),
        "realised_on_all": per_1000 * int(flagged.sum()),
        "user_days": days,
    }


def _counts(scored: Scored, anomalous: Mask) -> dict[str, int]:
    return {
        "labelled": len(anomalous),
        "anomalous": int(anomalous.sum()),
        "alerts": sum(scored.flagged),
        "learning": scored.learning,
        "late": scored.late,
        "without_label": scored.unlabelled,
        "duplicates": scored.duplicates,
        "labels_without_event": scored.unmatched,
    }


def _table(decided: Mapping[str, Figures], ranking: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """The original report's columns, the ensemble last."""
    names = [*sorted(name for name in decided if name != ENSEMBLE), ENSEMBLE]
    columns = ("accuracy", "precision", "recall", "f1")
    return [
        {"name": name, **{c: decided[name][c] for c in columns}, **ranking[name]} for name in names
    ]


def _types(
    scored: Scored, scores: Values, thresholds: Mapping[str, Mapping[str, float]]
) -> Iterator[dict[str, Any]]:
    """What share of each anomaly type the ensemble alerts, ordinary events (type None) first."""
    kinds = np.array([kind or "" for kind in scored.types], np.str_)
    for kind in sorted(set(kinds.tolist())):
        mine = scores[kinds == kind]
        yield {
            "type": kind or None,
            "events": len(mine),
            "mean_score": float(mine.mean()),
            **{
                f"alerted_at_{at}": float((mine > chosen[ENSEMBLE]).mean())
                for at, chosen in thresholds.items()
            },
        }


def _notes(scored: Scored, anomalous: Mask) -> list[str]:
    notes = []
    if not len(anomalous):
        notes.append("no event has a label, so there is nothing to judge")
    elif not anomalous.any():
        notes.append(f"no event is labelled anomalous: every metric that {_BOTH} is null")
    elif anomalous.all():
        notes.append(f"every event is labelled anomalous: every metric that {_BOTH} is null")
    if scored.unlabelled:
        notes.append(f"{scored.unlabelled:,} events without a label are in no metric")
    if scored.unmatched:
        notes.append(f"{scored.unmatched:,} labels are for events that did not come")
    if scored.duplicates:
        notes.append(f"{scored.duplicates:,} repeated events are in no metric")
    return notes


def _has_both(anomalous: Mask) -> bool:
    return bool(anomalous.any() and not anomalous.all())
