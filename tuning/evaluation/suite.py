"""Scenario by scenario on several seeds: what is promised of detection, and what is measured.

Every set is cut in time: the first part trains, without a label, the rest is judged. How much of
the period trains follows from what the scenario is to show (docs/scenarios.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

#: Anomalous share of the seedlike scenarios.
SEEDLIKE_SHARE = 0.4
#: Attacks that leave no failure and no blatant value behind.
HARD = ("quiet_takeover", "low_and_slow_insider", "lateral_movement", "token_replay")
CAMPAIGNS = "campaign_recall"
FIFTY, ONE_PERCENT = "per_2000_users_50", "ordinary_1_percent"

Metrics = Mapping[str, Any]
#: A value and its 95 % interval; None where a set has nothing to tell.
Told = tuple[float, tuple[float, float] | None] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How one scenario is judged: the share of its period that trains, and what else is done."""

    scenario: str
    train_share: float
    compare: bool = False
    expected_share: float | None = None
    ablate: bool = False

    def judged_from(self, facts: Mapping[str, Any]) -> datetime:
        """Where training ends, by what ``scenario.json`` tells of the period."""
        start, end = (datetime.fromisoformat(facts[key]) for key in ("start", "end"))
        return (start + (end - start) * self.train_share).replace(microsecond=0)


#: In drift the change comes in the middle, so a sixth of the period before it is judged; the ramp
#: of poison begins after a sixth.
PLANS: dict[str, Plan] = {
    plan.scenario: plan
    for plan in (
        Plan("seedlike", 1 / 2, compare=True, expected_share=SEEDLIKE_SHARE),
        Plan("seedlike-dirty", 1 / 2, expected_share=SEEDLIKE_SHARE),
        Plan("enterprise", 1 / 2, compare=True, ablate=True),
        Plan("drift", 1 / 3),
        Plan("poison", 1 / 6),
        Plan("poison-control", 1 / 6),
    )
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure of a scenario and what it should be: ``least`` or ``most``, or neither."""

    scenario: str
    name: str
    take: Callable[[Metrics], Told]
    least: float | None = None
    most: float | None = None

    @property
    def aim(self) -> str:
        if self.least is not None:
            return f"≥ {self.least:g}"
        return f"≤ {self.most:g}" if self.most is not None else ""

    def met(self, value: float) -> bool | None:
        if self.least is not None:
            return value >= self.least
        return value <= self.most if self.most is not None else None


def _at(*path: str | int) -> Callable[[Metrics], Told]:
    """What lies at a path of the metrics, beside it its interval."""
    *way, last = path

    def take(metrics: Metrics) -> Told:
        at: Any = metrics
        for key in way:
            at = at[key]
        value = at[last]
        return None if value is None else (value, at.get(f"{last}_interval"))

    return take


def _named(rows: Sequence[Metrics], key: str, name: str) -> Metrics | None:
    return next((row for row in rows if row[key] == name), None)


def _of_type(kind: str, point: str, figure: str) -> Callable[[Metrics], Told]:
    def take(metrics: Metrics) -> Told:
        found = _named(metrics["types"], "type", kind)
        return _at("at", point, figure)(found) if found else None

    return take


def _of_cause(cause: str) -> Callable[[Metrics], Told]:
    def take(metrics: Metrics) -> Told:
        found = _named(metrics["causes"], "cause", cause)
        return _at("at", ONE_PERCENT, "events_alerted")(found) if found else None

    return take


def _against_yardstick(figure: str) -> Callable[[Metrics], Told]:
    """Relative to the better of the yardsticks."""

    def take(metrics: Metrics) -> Told:
        rows = [r for r in metrics["comparison"]["rows"] if r["name"].startswith("yardstick")]
        return min(
            (told for row in rows if (told := _at(f"relative_{figure}")(row))),
            key=lambda told: told[0],
            default=None,
        )

    return take


def _original(figure: str) -> Callable[[Metrics], Told]:
    """The best of the original report's detectors."""

    def take(metrics: Metrics) -> Told:
        rows = [r for r in metrics["comparison"]["rows"] if r["name"].startswith("original")]
        return max((told for row in rows if (told := _at(figure)(row))), default=None)

    return take


def _weakest_base_type(metrics: Metrics) -> Told:
    """Of the types that are no mixture of others."""
    base = [row for row in metrics["types"] if "+" not in row["type"]]
    told = (_at("roc_auc")(row) for row in base)
    return min((one for one in told if one), key=lambda one: one[0], default=None)


def _over_best_detector(metrics: Metrics) -> Told:
    """The ensemble's average precision less that of its best detector alone."""
    alone = [r for r in metrics["ablation"]["rows"] if r["name"].startswith("only ")]
    best = max(alone, key=lambda row: row["average_precision"], default=None)
    return _at("gain_average_precision")(best) if best else None


def _around(figure: str) -> Callable[[Metrics], Told]:
    def take(metrics: Metrics) -> Told:
        return _at("changes", 0, figure)(metrics) if metrics["changes"] else None

    return take


def _back(metrics: Metrics) -> Told:
    """Never back, within the days told, is infinitely late."""
    found = _around("back_after_days")(metrics)
    return found or ((float("inf"), None) if metrics["changes"] else None)


def _found_after(metrics: Metrics) -> Told:
    if not metrics["changes"]:
        return None
    after = metrics["changes"][0]["attacks_after"]
    return (after["campaigns_found"] / max(1, after["campaigns"]), None)


_SHARE = ("at_expected_share", "ensemble")
CAUSES = (
    "forgotten_password", "month_end", "new_device", "new_phone", "stale_phone", "service_admin",
    "consumer_vpn", "traveller", "night_shift", "new_hire",
)  # fmt: skip

CLAIMS: tuple[Claim, ...] = (
    *(
        claim
        for scenario in ("seedlike", "seedlike-dirty")
        for claim in (
            Claim(scenario, "ROC-AUC", _at("ranking", "ensemble", "roc_auc"), least=0.93),
            Claim(scenario, "accuracy", _at(*_SHARE, "accuracy")),
            Claim(scenario, "F1", _at(*_SHARE, "f1"), least=0.72),
            Claim(scenario, "true positive rate", _at(*_SHARE, "recall"), least=0.85),
            Claim(scenario, "false positive rate", _at(*_SHARE, "false_positive_rate"), most=0.10),
            Claim(scenario, "weakest base type, ROC-AUC", _weakest_base_type, least=0.90),
        )
    ),
    Claim("seedlike", "ROC-AUC over the yardstick's", _against_yardstick("roc_auc"), least=0.97),
    Claim("seedlike", "original report, best detector, ROC-AUC", _original("roc_auc")),
    Claim("enterprise", "ROC-AUC", _at("ranking", "ensemble", "roc_auc")),
    Claim("enterprise", "average precision", _at("ranking", "ensemble", "average_precision")),
    Claim(
        "enterprise", "average precision over the yardstick's",
        _against_yardstick("average_precision"), least=0.95,
    ),
    Claim("enterprise", "original report, best, average precision", _original("average_precision")),
    Claim(
        "enterprise", "event recall at 50 alerts a day per 2,000 users",
        _at("operating_points", FIFTY, "recall"), least=0.60,
    ),
    Claim(
        "enterprise", "campaign recall there",
        _at("operating_points", FIFTY, CAMPAIGNS), least=0.85,
    ),
    *(Claim("enterprise", f"{k}: events there", _of_type(k, FIFTY, "recall")) for k in HARD),
    *(
        Claim("enterprise", f"{k}: campaigns there", _of_type(k, FIFTY, CAMPAIGNS))
        for k in HARD
    ),
    *(
        Claim("enterprise", f"{cause}: alerted at 1 % overall", _of_cause(cause), most=0.03)
        for cause in CAUSES
    ),
    Claim(
        "enterprise", "ordinary alerts per 1,000 user-days",
        _at("alerts_per_1000_user_days", "realised_on_ordinary"), most=25.0,
    ),
    Claim("enterprise", "ensemble less best detector, AP", _over_best_detector, least=0.0),
    Claim("drift", "worst day's ordinary alerts, before = 1", _around("worst_relative"), most=2.0),
    Claim("drift", "the same from the third day on", _around("settled_relative"), most=1.0),
    Claim("drift", "days until back at the old level", _back, most=2.0),
    Claim(
        "drift", "ordinary alerts per 1,000 user-days",
        _at("alerts_per_1000_user_days", "realised_on_ordinary"), most=25.0,
    ),
    Claim("drift", "campaigns found after the change", _found_after),
    *(
        Claim(scenario, f"theft campaigns found, {what}", _of_type("data_theft", at, CAMPAIGNS))
        for scenario in ("poison", "poison-control")
        for what, at in (("at the budget", "budget"), ("50 alerts a day per 2,000", FIFTY))
    ),
)  # fmt: skip


def summary(results: Mapping[str, Sequence[Metrics]]) -> list[dict[str, Any]]:
    """A row for each claim whose scenario has results, one for each seed."""
    return [
        told
        for claim in CLAIMS
        if (told := _told(claim, results.get(claim.scenario, ()))) is not None
    ]


def _told(claim: Claim, results: Sequence[Metrics]) -> dict[str, Any] | None:
    found = [told for metrics in results if (told := claim.take(metrics)) is not None]
    if not found:
        return None
    value = float(np.mean([value for value, _ in found]))
    return {
        "scenario": claim.scenario,
        "figure": claim.name,
        "aim": claim.aim,
        "value": value,
        "interval": pooled(found),
        "seeds": [value for value, _ in found],
        "met": claim.met(value),
    }


def pooled(found: Sequence[tuple[float, tuple[float, float] | None]]) -> list[float] | None:
    """The interval of a mean over seeds from the intervals of each; None where one has none.

    Seeds are independent, so deviations of the mean on either side add up as squares:
    ``sqrt(sum(d ** 2)) / k`` for k seeds.
    """
    if any(within is None for _, within in found):
        return None
    mean = float(np.mean([value for value, _ in found]))
    low = np.array([value - within[0] for value, within in found if within])
    high = np.array([within[1] - value for value, within in found if within])
    count = len(found)
    return [mean - float(np.hypot.reduce(low)) / count, mean + float(np.hypot.reduce(high)) / count]


def markdown(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The rows as lines of a table for a document."""
    yield "| scenario | figure | aim | mean of seeds (95 % interval) | each seed | met |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[row["met"]]
        within = row["interval"]
        interval = f" ({within[0]:.3f}–{within[1]:.3f})" if within else ""
        seeds = ", ".join(f"{value:.3f}" for value in row["seeds"])
        cells = (row["scenario"], row["figure"], row["aim"], f"{row['value']:.3f}{interval}")
        yield f"| {' | '.join(cells)} | {seeds} | {met} |"
