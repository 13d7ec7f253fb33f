"""How good detection is on three small sets: trained without a label, judged on what came later.

Sets, training and judging are the same each time, but for the last digits of a TensorFlow fit.
The sequence model is left out: it costs more time than a test may take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any

from ensemble.explain.asked import Asked
from ensemble.explain.judge import Judge
from ensemble.explain.scoring import scored as kept
from ensemble.explain.shap import Shap
from ensemble.scorer import Scorer
from models.bundle import Bundle
from preprocessing.event import AuthEvent, from_mapping
from preprocessing.history import UserHistory
from tuning import generate as generator
from tuning.bundling import Origin, write
from tuning.data import Labels, read_labels
from tuning.evaluate import Training, evaluate
from tuning.evaluation.judged import ENSEMBLE, score_labelled
from tuning.evaluation.points import per_users
from tuning.evaluation.suite import PLANS
from tuning.train import TrainingSettings, train

SEED = 61
EVENTS = {"enterprise": 40_000, "seedlike": 12_000, "seedlike-dirty": 12_000}
#: Types of which all others are mixtures, or which must not be lost behind them.
BASE_TYPES = (
    "impossible_travel", "large_data_transfer", "multiple_failed_logins", "off_hours_login",
    "unusual_resource_access",
)  # fmt: skip
SETTINGS = TrainingSettings(detectors=("isolation_forest", "one_class_svm", "autoencoder"))
BATCH = 250
RESAMPLES = 200
EXPLAINED = 20
#: Contributions add up to the score within this, decades of surprise (tests/unit/ensemble).
TOLERANCE = 1e-3
#: Later than any generated event, seconds since the epoch.
NOW_S = 4e9

Metrics = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, how far the worse end of its 95 % interval over users and campaigns lies
    from it, and whether more is better."""

    value: float
    reach: float
    more_is_better: bool = True


Figures = dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Case:
    """A version trained on the first part of a set, and the rest of the set."""

    bundle: Bundle
    later: list[AuthEvent]
    labels: Labels

    @classmethod
    def trained(cls, scenario: str, folder: Path) -> Case:
        """Set and bundle are written to ``folder``."""
        made = generator.write(folder, scenario, events=EVENTS[scenario], seed=SEED)
        events = [from_mapping(row, b"", now_s=NOW_S) for row in made.events]
        cut = PLANS[scenario].judged_from(made.facts)
        first = [event for event in events if event.timestamp < cut]
        origin = Origin(events=first, settings=SETTINGS, fingerprint="0" * 64, training_s=0.0)
        fitted = train(first, settings=SETTINGS)
        bundle = write(fitted, folder / "bundle", version="2026-11-22.1", origin=origin)
        later = [event for event in events if event.timestamp >= cut]
        return cls(bundle, later, read_labels(str(folder / "labels.csv")))

    def metrics(self, history: UserHistory | None = None) -> Metrics:
        """What ``ztad evaluate`` tells of the later part; ``history`` in place of the bundle's."""
        scorer = Scorer(self.bundle, history)
        spec = scorer.ensemble.spec
        training = Training.of(self.bundle.manifest, threshold=spec.threshold, budget=spec.budget)
        batches = (self.later[i : i + BATCH] for i in range(0, len(self.later), BATCH))
        scored = score_labelled(batches, scorer, self.labels, now_s=NOW_S)
        return evaluate(scored, training, resamples=RESAMPLES)

    def alerts(self) -> list[Asked]:
        """The first flagged events, as they would be kept."""
        scorer, found = Scorer(self.bundle), []
        for start in range(0, len(self.later), BATCH):
            batch = self.later[start : start + BATCH]
            asked = kept(scorer, batch, self.bundle.version, NOW_S)
            found += [one for one in asked if one.verdict.is_anomaly]
            if len(found) >= EXPLAINED:
                break
        return found[:EXPLAINED]


def trained(folder: Path) -> dict[str, Case]:
    """Every set with a version; both are written to ``folder``."""
    return {scenario: Case.trained(scenario, folder / scenario) for scenario in EVENTS}


def measure(cases: Mapping[str, Case]) -> dict[str, Figures]:
    """Every figure that has a floor, by set."""
    found = {name: figures(name, case.metrics()) for name, case in cases.items()}
    clean, dirty = (found[name]["roc_auc"] for name in ("seedlike", "seedlike-dirty"))
    found["seedlike-dirty"]["roc_auc_below_seedlike"] = Figure(
        clean.value - dirty.value, hypot(clean.reach, dirty.reach), more_is_better=False
    )
    found["enterprise"]["explanations_that_add_up"] = _adding_up(cases["enterprise"])
    return found


def figures(scenario: str, metrics: Metrics) -> Figures:
    """The headline figures of a set."""
    ranking = metrics["ranking"][ENSEMBLE]
    told = {name: _figure(ranking, name) for name in ("roc_auc", "average_precision")}
    if scenario == "enterprise":
        fifty = metrics["operating_points"][per_users(50)]
        budget = metrics["alerts_per_1000_user_days"]
        return told | {
            "event_recall_at_50": _figure(fifty, "recall"),
            "campaign_recall_at_50": _figure(fifty, "campaign_recall"),
            "ordinary_alerts_over_promise": _over_promise(budget),
        }
    types = {row["type"]: row for row in metrics["types"]}
    return told | {f"roc_auc_{kind}": _figure(types[kind], "roc_auc") for kind in BASE_TYPES}


def _figure(told: Metrics, name: str) -> Figure:
    return Figure(told[name], told[name] - told[f"{name}_interval"][0])


def _over_promise(told: Metrics) -> Figure:
    name, promised = "realised_on_ordinary", told["promised"]
    reach = told[f"{name}_interval"][1] - told[name]
    return Figure(told[name] / promised, reach / promised, more_is_better=False)


def _adding_up(case: Case) -> Figure:
    """Share of alerts whose SHAP contributions add up to the score."""
    explainer = Shap(Judge(case.bundle))
    told = [explainer.explain(asked) for asked in case.alerts()]
    off = [
        one["base"] + sum(part["contribution"] for part in one["contributions"]) - one["value"]
        for one in told
    ]
    return Figure(sum(abs(each) <= TOLERANCE for each in off) / len(off), 0.0)
