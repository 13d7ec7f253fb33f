"""What an evaluation found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

#: Operating points that the tables by type and cause show; metrics.json has all of them.
TOLD_POINTS = ("budget", "per_2000_users_50", "ordinary_1_percent")


def points(metrics: Mapping[str, Any]) -> Table:
    """What is found and what it costs at each operating point."""
    table = Table(title="at each operating point (docs/evaluation.md), with 95 % intervals")
    figures = ("recall", "campaign_recall", "precision", "false_positives_per_1000_user_days")
    for name in ("point", "alerts a day", *figures, "time to detect"):
        table.add_column(name.replace("_", " "), justify="left" if name == "point" else "right")
    for name, told in metrics["operating_points"].items():
        late = told["median_time_to_detect_s"]
        table.add_row(
            name,
            f"{told['alerts_a_day']:.1f}",
            *(with_interval(told, each) for each in figures),
            "–" if late is None else f"{late / 3600.0:.1f} h",
        )
    return table


def types(metrics: Mapping[str, Any]) -> Table:
    """How well each anomaly type is ranked and found."""
    table = Table(title="by anomaly type: ROC-AUC; share of events, of campaigns alerted")
    at = [name for name in metrics["operating_points"] if name in TOLD_POINTS]
    for name in ("type", "events", "campaigns", "roc auc", *at):
        table.add_column(name, justify="left" if name == "type" else "right")
    for row in metrics["types"]:
        shares = (
            f"{figure(row['at'][p]['recall'])} {figure(row['at'][p]['campaign_recall'])}"
            for p in at
        )
        table.add_row(
            row["type"],
            f"{row['events']:,}",
            f"{row['campaigns']:,}",
            with_interval(row, "roc_auc"),
            *shares,
        )
    return table


def causes(metrics: Mapping[str, Any]) -> Table:
    """Which ordinary oddities are alerted; no row where the labels name none."""
    table = Table(title="false alarms by benign cause: share of events, of occurrences alerted")
    at = [name for name in metrics["operating_points"] if name in TOLD_POINTS]
    for name in ("cause", "events", *at):
        table.add_column(name, justify="left" if name == "cause" else "right")
    for row in metrics["causes"]:
        shares = (
            f"{figure(row['at'][p]['events_alerted'])} "
            f"{figure(row['at'][p].get('occurrences_alerted'))}"
            for p in at
        )
        table.add_row(row["cause"] or "(none)", f"{row['events']:,}", *shares)
    return table


def comparison(metrics: Mapping[str, Any]) -> Table:
    """ztad and other approaches; no row without ``--compare``."""
    table = Table(title="beside others, on the same events; relative: ztad's figure over it")
    figures = ("roc_auc", "average_precision", "relative_roc_auc", "relative_average_precision")
    for name in ("approach", *figures):
        table.add_column(name.replace("_", " "), justify="left" if name == "approach" else "right")
    for row in (metrics["comparison"] or {"rows": []})["rows"]:
        table.add_row(row["name"], *(with_interval(row, name) for name in figures))
    return table


def with_interval(told: Mapping[str, Any], name: str) -> str:
    """A figure and its interval."""
    value, within = told[name], told[f"{name}_interval"]
    return figure(value) if within is None else f"{value:.3f} ({within[0]:.2f}–{within[1]:.2f})"


def figure(value: float | None) -> str:
    """Three digits, or a dash where there is nothing to tell."""
    return "–" if value is None else f"{value:.3f}"
