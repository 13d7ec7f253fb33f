"""`ztad tune`: better parameters for these events, or proof that the default ones do."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from services.commands import searches
from services.commands.inputs import Counts, add_input_options, all_events
from services.commands.trials import shown
from services.progress import progress, stages
from services.settings import load

if TYPE_CHECKING:
    from models.tracking import Tracking, TrialState
    from services.commands.registering import Kept
    from tuning.data import Labels
    from tuning.held_out import Candidate
    from tuning.journal import Journal, Trial
    from tuning.objective import Slices, TrialData
    from tuning.train import TrainingSettings

SUMMARY = "search for better parameters, and judge them on later events"
#: As ensemble.budget.DEFAULT_BUDGET, which costs an import of numpy; a test compares them.
BUDGET = 25.0
MINUTES, TRIALS = 10.0, 200
#: Where in --out the bundle of the better parameters is.
BUNDLE = "bundle"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("tune", help=SUMMARY, description=SUMMARY)
    add_input_options(parser, required=False)
    parser.add_argument(
        "--labels", metavar="IN",
        help="which events are anomalous: judges trials, trains nothing; without it artificial "
        "excursions are to be found",
    )  # fmt: skip
    parser.add_argument(
        "--alert-budget", type=_above_0, default=BUDGET, metavar="N",
        help=f"alerts per 1,000 active users per day (default {BUDGET:g})",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=_above_0, metavar="M",
        help=f"time for the search; training and judging come on top (default {MINUTES:g})",
    )  # fmt: skip
    parser.add_argument("--trials", type=_whole, default=TRIALS, metavar="N", help="most trials")
    parser.add_argument(
        "--parallel", type=_whole, default=_cores(), metavar="N",
        help="trials at once, one core each (default: the cores of this machine)",
    )  # fmt: skip
    parser.add_argument(
        "--detectors", type=_names, default=[], metavar="A,B", help="default: every detector"
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampling and fitting (default 0)")
    parser.add_argument(
        "--address", default="", metavar="WHERE",
        help="a running Ray cluster, auto or HOST:PORT; default: Ray on this machine alone",
    )  # fmt: skip
    parser.add_argument(
        "--storage", type=_place, default="", metavar="PATH",
        help="where trials keep their state: a path or URI that all nodes reach",
    )  # fmt: skip
    parser.add_argument(
        "--no-register", action="store_true", help="tell no registry of trials and bundle"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write the outcome")
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true",
        help="go on with a search that was cut off: that of --out, or the last",
    )  # fmt: skip
    again.add_argument("--anew", action="store_true", help="forget a search that was cut off")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the outcome is written, whether or not anything better was found."""
    from tuning.cluster import ClusterError

    home = load().home
    if args.resume:
        folder = searches.folder_of(home, args.out) if args.out else searches.latest(home)
    else:
        _check(args)
        folder = searches.folder_of(home, args.out)
    with searches.alone(folder):
        work = _resumed(args, folder) if args.resume else _begun(args, folder)
        try:
            journal = _searched(work)
        except KeyboardInterrupt:
            again = f"ztad tune --resume --out {work.args.out}"
            print(f"ztad tune: trials that ended are kept; go on with: {again}", file=sys.stderr)
            raise
        except ClusterError as problem:
            print(f"ztad tune: {problem}", file=sys.stderr)
            return 1
        _conclude(work, journal)
        searches.end(folder)
    return 0


@dataclass(frozen=True, slots=True)
class _Work:
    """One search, read and prepared."""

    args: argparse.Namespace
    folder: Path
    plan: searches.Plan
    labels: Labels | None
    parts: Slices
    settings: TrainingSettings
    data: TrialData


def _resumed(args: argparse.Namespace, folder: Path) -> _Work:
    plan = searches.read(folder, args.out)
    return _prepared(searches.namespace(plan, minutes=args.minutes), folder, plan)


def _begun(args: argparse.Namespace, folder: Path) -> _Work:
    searches.begin(folder, anew=args.anew, out=args.out)
    return _prepared(args, folder, None)


def _prepared(args: argparse.Namespace, folder: Path, plan: searches.Plan | None) -> _Work:
    from tuning.data import fingerprint, read_labels
    from tuning.objective import TuningError, slices, trial_data, truth

    labels = read_labels(args.labels, events=args.events) if args.labels else None
    events = all_events(args, Counts())
    known = fingerprint(events, labels)
    if plan is not None and plan.fingerprint != known:
        raise TuningError(f"{args.events} or its labels have changed since; start with --anew")
    settings = _settings(args)
    parts = slices(events)
    truth(parts.held_out, labels, "held-out")  # better now than after the search
    with stages("preparing", 3) as enter:
        data = trial_data(parts, labels, settings, enter)
    if plan is None:
        plan = searches.Plan(searches.options_of(args), known)
        searches.write(folder, plan)
    return _Work(args, folder, plan, labels, parts, settings, data)


def _searched(work: _Work) -> Journal:
    from tuning.cluster import cluster
    from tuning.journal import Journal

    args, before = work.args, Journal(work.folder).trials
    for name in ("ZTAD_API_KEYS", "ZTAD_API_KEY"):
        os.environ.pop(name, None)  # no trial needs them
    print("search: starting Ray", file=sys.stderr, flush=True)
    with cluster(work.folder, cpus=args.parallel, address=args.address):
        from tuning.search import Limits, search

        limits = Limits(
            trials=args.trials,
            minutes=args.minutes or MINUTES,
            parallel=args.parallel,
            storage=args.storage,
        )
        with shown(before, args.trials) as tell:
            return search(work.data, work.settings, limits, work.folder, on_trial=tell)


def _conclude(work: _Work, journal: Journal) -> None:
    """Judge what was found, write the outcome, and tell the registry."""
    from tuning import outcome
    from tuning.held_out import Candidate, compare
    from tuning.journal import best
    from tuning.space import chosen, space

    args, settings, parts = work.args, work.settings, work.parts
    ranges = space(settings, windows=work.data.labelled)
    default, top = journal.trials[0], best(journal.trials)
    before = [*parts.training, *parts.validation]
    comparison = None
    with stages("judging", 2 * len(settings.detectors) + 9) as enter:
        candidate = Candidate(before, settings, enter)
        if top is not None and top is not default:
            tuned = Candidate(before, chosen(top.choice, settings), enter)
            enter("scoring the held-out events with both")
            comparison = compare(
                candidate, tuned, parts, work.labels, budget=settings.budget, seed=settings.seed
            )
            candidate = tuned if comparison.better else candidate
        told = outcome.summary(journal, parts, work.data, settings, comparison)
        enter("writing the outcome")
        outcome.write(args.out, told, journal.trials, ranges)
    kept = _kept(work, journal, told, candidate)
    _summarise(told, kept, args.out)


def _kept(work: _Work, journal: Journal, told: dict[str, Any], candidate: Candidate) -> Kept:
    """Write the bundle; where a registry is wanted, register it below the run of its search."""
    from services.commands.registering import Kept, registry_of, write_registered
    from tuning.bundling import next_version

    path = work.args.out / BUNDLE
    if work.args.no_register:
        version = next_version(path, datetime.now(UTC).date().isoformat())
        return Kept(candidate.write(path, version), registered=False)
    registry = registry_of(load())
    parent = log_search(registry.tracking, work.folder, work.plan, journal, told)
    return write_registered(
        lambda version: candidate.write(path, version), path, registry, None, parent=parent
    )


def log_search(
    tracking: Tracking,
    folder: Path,
    plan: searches.Plan,
    journal: Journal,
    told: Mapping[str, Any],
) -> str:
    """Record a search and all its trials; the id of its run, empty where the registry fails.

    What an earlier call for the same folder has recorded is not recorded again.
    """
    from models.tracking import RegistryError

    run = plan.run
    try:
        if not run:
            name = f"tune {told['kept']}"
            run = tracking.start_search(name, settings=plan.options, fingerprint=plan.fingerprint)
            searches.write(folder, msgspec.structs.replace(plan, run=run))
        with progress("registry: trials", len(journal.trials)) as bar:
            for trial in journal.trials:
                tracking.log_trial(
                    run,
                    trial.number,
                    parameters={"stage": trial.stage, **trial.choice},
                    metrics=_by_step(trial),
                    state=_state(trial),
                )
                bar.advance()
        tracking.finish(run, metrics=_measured(told))
    except RegistryError as problem:
        print(f"ztad tune: warning: {problem}; the search is not on record there", file=sys.stderr)
        return ""
    return run


def _state(trial: Trial) -> TrialState:
    if trial.problem:
        return "failed"
    return "finished" if trial.complete else "pruned"


def _by_step(trial: Trial) -> dict[str, list[float]]:
    """Each metric at growing effort."""
    return {name: [r[name] for r in trial.reports if name in r] for name in trial.metrics}


def _measured(told: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of an outcome, by where they stand in it."""
    found = {"trials": told["trials"]["all"], "minutes": told["trials"]["minutes"]}
    found["validation.default"] = told["validation"]["default"]["objective"]
    found["validation.best"] = told["validation"]["best"]["objective"]
    judged = told["held_out"]
    if judged is not None:
        for name in ("default", "tuned"):
            for figure in ("recall", "alerts_per_1000", "objective"):
                found[f"held_out.{name}.{figure}"] = judged[name][figure]
    return found


def _summarise(told: Mapping[str, Any], kept: Kept, out: Path) -> None:
    trials, validation = told["trials"], told["validation"]
    print(f"{out}: {trials['all']:,} trials in {trials['minutes']:.1f} min, {told['objective']}")
    top = validation["best"]
    print(
        f"  validation: default {validation['default']['objective']:.3f}, "
        f"best {top['objective']:.3f} (trial {top['trial']}, {top['stage']})"
    )
    judged = told["held_out"]
    if judged is None:
        print("  nothing did better than the default parameters, which are kept")
    else:
        for name in ("default", "tuned"):
            print(f"  held out:   {_figures(name, judged[name])}")
        low, high = judged["gain_interval"]
        gain = f"{judged['gain']:+.3f} of the objective (95 %: {low:+.3f} to {high:+.3f})"
        sure = "beyond chance" if judged["certain"] else "may be chance"
        verdict = "the tuned parameters are kept" if judged["better"] else "the default is kept"
        print(f"  {gain}, which {sure}: {verdict}")
    print(f"  model {kept.bundle.version} of {', '.join(kept.bundle.detectors)} in {out / BUNDLE}")


def _figures(name: str, figures: Mapping[str, Any]) -> str:
    low, high = figures["recall_interval"]
    return (
        f"{name:<8} recall {figures['recall']:.3f} (95 %: {low:.3f} to {high:.3f}), "
        f"{figures['alerts_per_1000']:.1f} false alerts per 1,000 user-days"
    )


def _settings(args: argparse.Namespace) -> TrainingSettings:
    from models import DETECTORS, resolve
    from tuning.train import TrainingSettings

    for name in args.detectors:
        resolve(name)
    return TrainingSettings(
        budget=args.alert_budget,
        detectors=tuple(args.detectors or DETECTORS),
        seed=args.seed,
    )


def _check(args: argparse.Namespace) -> None:
    """Refuse what would fail only after the search."""
    from tuning.objective import TuningError

    if args.events is None or args.out is None:
        raise TuningError("give --events and --out, or --resume")
    args.out.mkdir(parents=True, exist_ok=True)
    if not os.access(args.out, os.W_OK | os.X_OK):
        raise PermissionError(13, "the directory is not writable", str(args.out))


def _cores() -> int:
    """Cores this process may use; macOS does not tell, and has all of them."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _place(text: str) -> str:
    """Without a secret in it: the registry is told of every option."""
    if "@" in text:
        raise argparse.ArgumentTypeError(
            "an address with a password: expected a path or URI without; storages read theirs from "
            "their own variables, such as AWS_SECRET_ACCESS_KEY"
        )
    return text


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")
    return int(text)


def _above_0(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return number
