"""What a search amounts to, as files: ``best.json``, ``trials.csv`` and pictures."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from models.base import Range
from tuning.counting import DAY_S
from tuning.held_out import SHARE, Comparison
from tuning.journal import Journal, Trial, best
from tuning.objective import Slices, TrialData
from tuning.plots import write_plots
from tuning.space import chosen
from tuning.train import TrainingSettings

BEST, TRIALS = "best.json", "trials.csv"


def summary(
    journal: Journal,
    parts: Slices,
    data: TrialData,
    settings: TrainingSettings,
    comparison: Comparison | None,
) -> dict[str, Any]:
    """All that is to be told of a search, ready for JSON.

    ``comparison`` is None where no trial beat the default parameters, which are then kept.
    """
    default, top = journal.trials[0], best(journal.trials) or journal.trials[0]
    kept = top if comparison is not None and comparison.better else default
    final = chosen(kept.choice, settings)
    return {
        "kept": "default" if kept is default else "tuned",
        "parameters": {name: dict(final.parameters[name]) for name in final.detectors},
        "detectors": list(final.detectors),
        "method": final.method,
        "weights": dict(final.weights),
        "windows": msgspec.structs.asdict(final.windows),
        "objective": "recall at the alert budget"
        if data.labelled
        else "share of artificial excursions caught at the alert budget (no labels)",
        "budget": settings.budget,
        "seed": settings.seed,
        "slices": {
            name: _slice(part)
            for name, part in (
                ("training", parts.training),
                ("validation", parts.validation),
                ("held_out", parts.held_out),
            )
        },
        "trials": {
            "all": len(journal.trials),
            "complete": sum(trial.complete for trial in journal.trials),
            "failed": sum(bool(trial.problem) for trial in journal.trials),
            "minutes": round(journal.elapsed_s / 60.0, 2),
        },
        "validation": {
            "default": default.metrics,
            "best": {"trial": top.number, "stage": top.stage, **top.metrics},
            "choice": top.choice,
        },
        "held_out": None
        if comparison is None
        else {
            **asdict(comparison),
            "interval_share": SHARE,
            "better": comparison.better,
            "certain": comparison.certain,
        },
    }


def write(
    folder: Path, told: Mapping[str, Any], trials: Sequence[Trial], ranges: Mapping[str, Range]
) -> None:
    """Write every file into ``folder``, made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{BEST}.part"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    draft.replace(folder / BEST)
    draft = folder / f".{TRIALS}.part"
    with draft.open("w", encoding="utf-8", newline="") as file:
        _write_trials(csv.writer(file, lineterminator="\n"), trials, list(ranges))
    draft.replace(folder / TRIALS)
    write_plots(folder, trials, ranges)


def _write_trials(rows: Any, trials: Sequence[Trial], keys: list[str]) -> None:
    metrics = ("objective", "recall", "alerts_per_1000", "average_precision", "effort")
    rows.writerow(("trial", "stage", "elapsed_s", *metrics, "problem", *keys))
    for trial in trials:
        rows.writerow(
            (
                trial.number,
                trial.stage,
                trial.elapsed_s,
                *(trial.metrics.get(name, "") for name in metrics),
                trial.problem,
                *(trial.choice.get(key, "") for key in keys),
            )
        )


def _slice(events: Sequence[Any]) -> dict[str, Any]:
    first, last = events[0].timestamp, events[-1].timestamp
    return {
        "events": len(events),
        "from": first.isoformat(),
        "to": last.isoformat(),
        "days": round((last - first).total_seconds() / DAY_S, 2),
    }
