"""A search in pictures: how it went, which parameters mattered, and which values did well."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from models.base import Range
from tuning.journal import DEFAULT, Trial

HISTORY, IMPORTANCE, PARALLEL = "history.png", "importance.png", "parallel.png"
#: Fewest trials of a stage whose parameters' importance is told.
LEAST_TRIALS = 8
_COLOURS = colormaps["viridis"]
_DPI = 110


def write_plots(folder: Path, trials: Sequence[Trial], ranges: Mapping[str, Range]) -> list[Path]:
    """The pictures of a search's trials as PNG files in ``folder``."""
    figures = {
        HISTORY: history(trials),
        IMPORTANCE: importance(trials, ranges),
        PARALLEL: parallel(trials, ranges),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=_DPI)
    return [folder / name for name in figures]


def history(trials: Sequence[Trial]) -> Figure:
    """The objective of every trial in the order in which they ended, and the best so far."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes: Axes = figure.subplots()
    for index, stage in enumerate(_stages(trials)):
        colour = f"C{index}"
        mine = [trial for trial in trials if trial.stage == stage]
        whole = [trial for trial in mine if trial.complete]
        cut = [trial for trial in mine if not trial.complete]
        axes.scatter(*_points(whole), color=colour, s=22, label=stage, zorder=3)
        axes.scatter(*_points(cut), color=colour, s=10, alpha=0.35, marker="x")
    tops = np.maximum.accumulate([t.objective if t.complete else 0.0 for t in trials])
    axes.step([trial.number for trial in trials], tops, where="post", color="black", label="best")
    axes.axhline(trials[0].objective, color="grey", linestyle=":", label="default parameters")
    axes.set(xlabel="trial", ylabel="objective on the validation slice")
    axes.set_title("Optimisation history (crosses: stopped early)")
    axes.legend(loc="lower right", fontsize="small")
    return figure


def importance(trials: Sequence[Trial], ranges: Mapping[str, Range]) -> Figure:
    """How much of the objective's variance in its stage each parameter explains.

    PED-ANOVA compares the values of the best tenth with all: Watanabe, Bansal and Hutter,
    "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces",
    IJCAI 2023.
    """
    told = {stage: _importances(trials, stage, ranges) for stage in _stages(trials)}
    told = {stage: bars for stage, bars in told.items() if bars}
    rows = max(1, sum(len(bars) for bars in told.values()))
    figure = Figure(figsize=(10, 1.5 + 0.32 * rows), layout="constrained")
    axes: Axes = figure.subplots()
    names: list[str] = []
    for index, (stage, bars) in enumerate(told.items()):
        places = range(len(names), len(names) + len(bars))
        axes.barh(places, list(bars.values()), color=f"C{index}", label=f"stage {stage}")
        names += bars
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="share of what the stage's parameters explain", xlim=(0, 1))
    axes.set_title("Parameter importance")
    if told:
        axes.legend(loc="lower right", fontsize="small")
    else:
        axes.text(0.5, 0.5, "too few trials", ha="center", transform=axes.transAxes)
    return figure


def parallel(trials: Sequence[Trial], ranges: Mapping[str, Range]) -> Figure:
    """Each stage's trials as lines through their parameters, the better the brighter."""
    stages = [s for s in _stages(trials) if s != DEFAULT and _searched(trials, s, ranges)]
    figure = Figure(figsize=(12, 1.0 + 3.2 * max(1, len(stages))), layout="constrained")
    if not stages:
        figure.suptitle("Parallel coordinates: no trials")
        return figure
    every: Any = figure.subplots(len(stages), 1, squeeze=False)
    for axes, stage in zip(every[:, 0], stages, strict=True):
        _parallel(figure, axes, [t for t in trials if t.stage == stage], stage, ranges)
    figure.suptitle("Parallel coordinates")
    return figure


def _parallel(
    figure: Figure,
    axes: Axes,
    trials: Sequence[Trial],
    stage: str,
    ranges: Mapping[str, Range],
) -> None:
    keys = _searched(trials, stage, ranges)
    objectives = np.array([trial.objective for trial in trials])
    norm = Normalize(float(objectives.min()), float(objectives.max()) + 1e-9)
    for trial in sorted(trials, key=lambda trial: trial.objective):
        heights = [_height(trial.choice[key], ranges[key]) for key in keys]
        axes.plot(heights, color=_COLOURS(norm(trial.objective)), alpha=0.7, linewidth=1.2)
    names = [key.removeprefix(f"{stage}.").removeprefix("ensemble.") for key in keys]
    labels = [
        f"{name.replace('.', chr(10))}\n{_ends(ranges[key])}"
        for name, key in zip(names, keys, strict=True)
    ]
    axes.set_xticks(range(len(keys)), labels, fontsize="small")
    axes.set_yticks([])
    axes.set(title=stage, ylim=(-0.05, 1.05), xlim=(-0.2, len(keys) - 0.8))
    for place in range(len(keys)):
        axes.axvline(place, color="lightgrey", zorder=0)
    shades = _shades(norm)
    figure.colorbar(shades, ax=axes, label="objective")


def _shades(norm: Normalize) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm, _COLOURS)


def _importances(
    trials: Sequence[Trial], stage: str, ranges: Mapping[str, Range]
) -> dict[str, float]:
    """Importance by parameter, the largest first; empty where there are too few trials."""
    mine = [trial for trial in trials if trial.stage == stage]
    keys = _searched(mine, stage, ranges)
    if len(mine) < LEAST_TRIALS or not keys:
        return {}
    if len(keys) == 1:
        return {keys[0]: 1.0}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    for trial in mine:
        study.add_trial(
            optuna.trial.create_trial(
                params={key: trial.choice[key] for key in keys},
                distributions={key: _distribution(ranges[key]) for key in keys},
                value=trial.objective,
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of being experimental
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(value) for key, value in found.items()}


def _searched(trials: Sequence[Trial], stage: str, ranges: Mapping[str, Range]) -> list[str]:
    """Parameters that differ between the trials of a stage."""
    mine = [trial.choice for trial in trials if trial.stage == stage]
    return [key for key in ranges if len({choice.get(key) for choice in mine}) > 1]


def _distribution(where: Range) -> optuna.distributions.BaseDistribution:
    if where.kind == "choice":
        return optuna.distributions.CategoricalDistribution(list(where.choices))
    if where.kind == "int":
        low, high = int(where.low), int(where.high)
        return optuna.distributions.IntDistribution(low, high, log=where.log)
    return optuna.distributions.FloatDistribution(where.low, where.high, log=where.log)


def _height(value: Any, where: Range) -> float:
    """Where a value lies in its range, in [0, 1]."""
    if where.kind == "choice":
        return where.choices.index(value) / max(1, len(where.choices) - 1)
    low, high = np.log([where.low, where.high]) if where.log else (where.low, where.high)
    return float(((np.log(value) if where.log else value) - low) / (high - low))


def _ends(where: Range) -> str:
    if where.kind == "choice":
        return "\n".join(str(choice) for choice in reversed(where.choices))
    return f"{where.low:g} … {where.high:g}{' log' if where.log else ''}"


def _stages(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(trial.stage for trial in trials))


def _points(trials: Sequence[Trial]) -> tuple[list[int], list[float]]:
    return [trial.number for trial in trials], [trial.objective for trial in trials]
