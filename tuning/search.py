"""Ray Tune around tuning/objective.py: first each detector by itself, then all of them together.

A trial of one detector takes a twentieth of a second to some seconds, so each has a stage of its
own, in which the ensemble consists of it alone; the last stage keeps the best parameters of each
and searches windows, weights and the way of combining. Every trial of every stage is a whole
choice that could be used as it is, and the best of all wins. In 150 s on 10,000 events of
``seedlike-dirty`` one search over everything made 61 trials and found nothing above the default's
0.615; this one made 581 and reached 0.660.

Optuna's TPE proposes, ASHA stops what does badly at a part of the detectors' effort. With one
trial at a time the same seed gives the same trials; with more their order depends on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from models.base import InvalidParameter, Range
from tuning.journal import DEFAULT, Journal, Trial, best
from tuning.objective import (
    EFFORTS,
    Metrics,
    TrialData,
    baseline,
    evaluations,
    with_baseline,
)
from tuning.space import METHOD, WEIGHT, WEIGHTS, WINDOW, Choice, default_choice, space
from tuning.train import TrainingSettings

#: Stage in which the detectors are combined; the others are called as their detector.
TOGETHER = "together"
_METRIC = "objective"
#: ASHA goes on with the better half at each of EFFORTS (Li and others, "A System for Massively
#: Parallel Hyperparameter Tuning", MLSys 2020).
_REDUCTION = 2

OnTrial = Callable[[Trial], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a search: ``trials`` in all its stages, ``minutes`` in all its processes,
    ``parallel`` trials at once. Trials keep their state in ``storage``, a path or URI that all
    nodes of a cluster can reach, by default the search's folder."""

    trials: int = 200
    minutes: float = 10.0
    parallel: int = 2
    storage: str = ""


@dataclass(slots=True)
class _Session:
    """The stage that runs now, as Tune's callbacks find it."""

    journal: Journal
    stage: str
    fixed: Choice
    began_s: float
    deadline_s: float
    on_trial: OnTrial
    reports: dict[str, list[Metrics]]

    def report(self, trial_id: str, result: Mapping[str, Any]) -> None:
        names = ("objective", "recall", "alerts_per_1000", "average_precision", "effort")
        told = {name: float(result[name]) for name in names if name in result}
        if told:
            self.reports.setdefault(trial_id, []).append(told)

    def end(self, trial_id: str, config: Choice, problem: str = "") -> None:
        reports = self.reports.pop(trial_id, [])
        if not reports and not problem:
            return  # stopped before it said anything
        ended = self.journal.add(
            trial_id,
            self.stage,
            {**self.fixed, **config},
            reports,
            elapsed_s=time.monotonic() - self.began_s,
            problem=problem,
        )
        if ended is not None:
            self.on_trial(ended)


#: Tune copies callbacks and stoppers, and pickles them with the experiment, so they hold nothing,
#: and find here who listens.
_SESSION: ContextVar[_Session] = ContextVar("session")


class _Tell(tune.Callback):
    """Passes on what becomes of the trials."""

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        _SESSION.get().report(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _SESSION.get().end(trial.trial_id, trial.config)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _SESSION.get().end(trial.trial_id, trial.config, problem="failed")


class _Deadline(tune.Stopper):
    """Ends a stage whose time is over."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return time.monotonic() >= _SESSION.get().deadline_s


def search(
    data: TrialData,
    settings: TrainingSettings,
    limits: Limits,
    folder: Path,
    *,
    on_trial: OnTrial = lambda trial: None,
) -> Journal:
    """Search in a Ray that runs, or go on with the search of ``folder`` where that was cut off.

    ``on_trial`` is called with each trial as it ends. The trial of the default parameters is the
    first of the journal.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = Journal(folder)
    began_s = time.monotonic() - journal.elapsed_s
    ranges = space(settings, windows=data.labelled)
    default = default_choice(settings, ranges)
    default_trial = _default(data, settings, default, journal, began_s, on_trial)
    data = with_baseline(data, default_trial.metrics)
    names = [*settings.detectors, TOGETHER]
    for index, name in enumerate(names):
        if journal.finished(name):
            continue
        left_s = 60.0 * limits.minutes - (time.monotonic() - began_s)
        stage_s = left_s / (len(names) - index)
        fixed, searched = _stage(name, ranges, default, journal)
        session = _Session(journal, name, fixed, began_s, time.monotonic() + stage_s, on_trial, {})
        token = _SESSION.set(session)
        try:
            _run(session, searched, data, settings, limits, max(1, limits.trials // len(names)))
        finally:
            _SESSION.reset(token)
        journal.finish(name)
    return journal


def _default(
    data: TrialData,
    settings: TrainingSettings,
    choice: Choice,
    journal: Journal,
    began_s: float,
    on_trial: OnTrial,
) -> Trial:
    """The trial of the default parameters, against which others are measured."""
    known = journal.of(DEFAULT)
    if known:
        return known[0]
    reports = ray.get(ray.remote(num_cpus=1)(baseline).remote(choice, data, settings))
    elapsed_s = time.monotonic() - began_s
    made = journal.add(DEFAULT, DEFAULT, choice, reports, elapsed_s=elapsed_s)
    assert made is not None, "its stage was empty"
    on_trial(made)
    return made


def _stage(
    name: str, ranges: Mapping[str, Range], default: Choice, journal: Journal
) -> tuple[dict[str, Any], dict[str, Range]]:
    """What a stage keeps as it is, and what it searches."""
    if name == TOGETHER:
        mine = {key for key in ranges if key.startswith((WINDOW, METHOD, WEIGHT))}
        whole = {**default, **_best_parameters(default, journal)}
    else:
        mine = {key for key in ranges if key.startswith(f"{name}.")}
        alone = {
            key: WEIGHTS if key == f"{WEIGHT}{name}" else 0
            for key in ranges
            if key.startswith(WEIGHT)
        }
        whole = {**default, **alone}
    fixed = {key: value for key, value in whole.items() if key not in mine}
    return fixed, {key: ranges[key] for key in ranges if key in mine}


def _best_parameters(default: Choice, journal: Journal) -> dict[str, Any]:
    """The best parameters of each detector by itself."""
    tops = {name: best(journal.of(name)) for name in {key.partition(".")[0] for key in default}}
    return {
        key: top.choice[key] for key in default if (top := tops[key.partition(".")[0]]) is not None
    }


def _run(
    session: _Session,
    searched: Mapping[str, Range],
    data: TrialData,
    settings: TrainingSettings,
    limits: Limits,
    trials: int,
) -> None:
    """One stage, from its beginning or from where it was cut off.

    The journal alone says where that was. What Tune keeps of an experiment lags behind it, and
    would repeat trials that ended just before a kill; only what ASHA knew of the stage is lost.
    """
    known = session.journal.of(session.stage)
    if not searched or len(known) >= trials:
        return
    trainable = tune.with_resources(
        tune.with_parameters(_trainable, data=data, settings=settings, fixed=session.fixed),
        {"cpu": 1},
    )
    tune.Tuner(
        trainable,
        param_space={key: sampler(where) for key, where in searched.items()},
        tune_config=tune.TuneConfig(
            metric=_METRIC,
            mode="max",
            num_samples=trials - len(known),
            max_concurrent_trials=limits.parallel,
            reuse_actors=True,
            search_alg=_proposals(searched, settings, known),
            scheduler=ASHAScheduler(
                time_attr="effort",
                max_t=EFFORTS[-1],
                grace_period=EFFORTS[0],
                reduction_factor=_REDUCTION,
            ),
        ),
        run_config=tune.RunConfig(
            name=f"{session.stage}-{len(known)}",
            storage_path=limits.storage or str(session.journal.folder / "ray"),
            callbacks=[_Tell()],
            stop=_Deadline(),
            verbose=0,
        ),
    ).fit()


def _proposals(
    searched: Mapping[str, Range], settings: TrainingSettings, known: Sequence[Trial]
) -> OptunaSearch:
    """Proposals that begin with the default, or take known trials of the stage into account.

    These shift the seed: the same random proposals would come again.
    """
    if not known:
        start = default_choice(settings, searched)
        return OptunaSearch(seed=settings.seed, points_to_evaluate=[start])
    return OptunaSearch(
        seed=settings.seed + len(known),
        points_to_evaluate=[{key: trial.choice[key] for key in searched} for trial in known],
        evaluated_rewards=[trial.objective for trial in known],
    )


def sampler(where: Range) -> Any:
    """What Tune draws from for a range; both ends are included."""
    if where.kind == "choice":
        return tune.choice(list(where.choices))
    if where.kind == "int":
        low, high = int(where.low), int(where.high) + 1
        return tune.lograndint(low, high) if where.log else tune.randint(low, high)
    return (tune.loguniform if where.log else tune.uniform)(where.low, where.high)


def _trainable(
    config: dict[str, Any], data: TrialData, settings: TrainingSettings, fixed: Choice
) -> None:
    """One trial, in a process of its own."""
    try:
        for metrics in evaluations({**fixed, **config}, data, settings):
            tune.report(metrics)
    except InvalidParameter:
        # What a detector refuses is worth nothing, and Optuna should know.
        tune.report({_METRIC: 0.0, "effort": float(EFFORTS[-1])})
