"""An evaluation in pictures, each a PNG as base64 text, so that the report is one file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuning.evaluation.judged import ENSEMBLE, Judged, Mask, Values

_DPI = 90
_SIZE = (5.6, 4.2)
_WIDE = (11.4, 3.6)
#: Scores closer to 1 than this are drawn here: 1 - score is the share of ordinary events that
#: score higher, and nine decades are more than any calibration knows.
_MOST_DECADES = 9.0
#: Points of a curve beyond which it looks the same.
_MOST_POINTS = 2000


def charts(judged: Judged, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Pictures by title, as base64; those for which there is nothing to draw are left out."""
    drawn: dict[str, Figure] = {}
    anomalous = judged.anomalous
    if anomalous.any() and not anomalous.all():
        drawn["ROC"] = roc(judged.scores, anomalous)
        drawn["Precision and recall"] = precision_recall(judged.scores, anomalous)
    if len(judged):
        drawn["Scores"] = histogram(judged.scores[ENSEMBLE], anomalous)
        drawn["Alert budget by day"] = budget(metrics["alerts_per_1000_user_days"])
    if metrics["campaigns"]:
        drawn["Time to detect"] = detection(metrics["campaigns"], list(metrics["operating_points"]))
    for change in metrics["changes"]:
        drawn[f"Around {change['at']}"] = around(change)
    return {title: _png(figure) for title, figure in drawn.items()}


def roc(scores: Mapping[str, Values], anomalous: Mask) -> Figure:
    """True against false positive rate, of every detector and the ensemble."""
    figure, axes = _axes()
    for name, values in scores.items():
        hits, false = _counts(values, anomalous)
        axes.plot(*_thin(false / false[-1], hits / hits[-1]), label=name, lw=_width(name))
    axes.plot([0, 1], [0, 1], color="lightgrey", lw=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(loc="lower right", fontsize="small")
    return figure


def precision_recall(scores: Mapping[str, Values], anomalous: Mask) -> Figure:
    """Precision against recall, of every detector and the ensemble."""
    figure, axes = _axes()
    for name, values in scores.items():
        hits, false = _counts(values, anomalous)
        hits, false = hits[1:], false[1:]
        axes.plot(*_thin(hits / hits[-1], hits / (hits + false)), label=name, lw=_width(name))
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    axes.legend(loc="upper right", fontsize="small")
    return figure


def histogram(scores: Values, anomalous: Mask) -> Figure:
    """How rare ordinary and anomalous events are by their score, in decades."""
    figure, axes = _axes()
    decades = np.minimum(_MOST_DECADES, -np.log10(np.maximum(1.0 - scores, 10.0**-_MOST_DECADES)))
    bins = np.linspace(0.0, max(1.0, float(decades.max())), 41)
    for name, rows in (("ordinary", ~anomalous), ("anomalous", anomalous)):
        if rows.any():
            axes.hist(decades[rows], bins=bins.tolist(), alpha=0.6, label=name)
    axes.set(xlabel="-log10(1 - score)", ylabel="events", yscale="log")
    axes.legend(fontsize="small")
    return figure


def budget(told: Mapping[str, Any]) -> Figure:
    """Alerts per 1,000 user-days on ordinary events and on all, day by day."""
    figure, axes = _axes(_WIDE)
    days = told["by_day"]
    places = range(len(days))
    axes.bar(places, [d["realised_on_all"] for d in days], color="lightgrey", label="all events")
    axes.bar(places, [d["realised_on_ordinary"] for d in days], label="ordinary events")
    axes.axhline(told["promised"], color="black", ls=":", label="promised")
    step = max(1, len(days) // 12)
    axes.set_xticks(list(places)[::step], [d["day"] for d in days][::step], fontsize="small")
    axes.set(ylabel="alerts per 1,000 user-days")
    axes.legend(fontsize="small")
    return figure


def around(change: Mapping[str, Any]) -> Figure:
    """False alerts on each day after a change, relative to the days before it."""
    figure, axes = _axes(_WIDE)
    days = [row for row in change["days"] if row["relative"] is not None]
    values = np.array([row["relative"] for row in days])
    low, high = np.array([row["relative_interval"] for row in days]).reshape(-1, 2).T
    spread = np.abs(np.stack([values - low, high - values]))
    axes.errorbar([row["day"] for row in days], values, yerr=spread, fmt="o", capsize=3)
    axes.axhline(1.0, color="black", ls=":")
    axes.axhline(2.0, color="firebrick", ls=":")
    axes.set(xlabel="days after the change", ylabel="false alerts, before = 1", ylim=(0, None))
    return figure


def detection(campaigns: Sequence[Mapping[str, Any]], points: Sequence[str]) -> Figure:
    """What share of the campaigns is found so many hours after their first event."""
    figure, axes = _axes(_WIDE)
    last = max(campaign["lasted_s"] for campaign in campaigns) / 3600.0
    for point in points:
        found = [c["time_to_detect_s"][point] for c in campaigns]
        hours = sorted(s / 3600.0 for s in found if s is not None)
        shares = np.arange(1, len(hours) + 1) / len(campaigns)
        shares = np.r_[0.0, shares, len(hours) / len(campaigns)]
        axes.step([0.0, *hours, last], shares, where="post", label=point, lw=1.2)
    axes.set(xlabel="hours since the campaign's first event", ylabel="campaigns found")
    axes.set(ylim=(0, 1.02), xscale="symlog", xlim=(0, None))
    axes.legend(fontsize="x-small", loc="lower right")
    return figure


def _axes(size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _counts(scores: Values, anomalous: Mask) -> tuple[Values, Values]:
    """Anomalous and ordinary events at or above each distinct score, from none to all."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    hits = np.cumsum(anomalous[order])[last]
    return np.r_[0.0, hits], np.r_[0.0, last + 1.0 - hits]


def _thin(x: Values, y: Values) -> tuple[Values, Values]:
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(int))
    return x[chosen], y[chosen]


def _width(name: str) -> float:
    return 2.2 if name == ENSEMBLE else 1.0


def _png(figure: Figure) -> str:
    held = BytesIO()
    figure.savefig(held, format="png", dpi=_DPI)
    return base64.b64encode(held.getvalue()).decode("ascii")
