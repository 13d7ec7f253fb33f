"""`ztad train`: events in, a model bundle out."""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services.commands.inputs import Counts, add_input_options, all_events
from services.progress import stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.bundle import Bundle
    from preprocessing.event import AuthEvent
    from tuning.data import Labels
    from tuning.train import TrainingSettings

SUMMARY = "fit every detector to events and write a model bundle"
#: As ensemble.combine.METHODS and ensemble.budget.DEFAULT_BUDGET, which cost an import of numpy;
#: a test compares them.
METHODS = ("mean", "max", "weighted", "vote")
BUDGET = 25.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("train", help=SUMMARY, description=SUMMARY)
    add_input_options(parser)
    parser.add_argument("--labels", metavar="IN", help="known anomalies are kept out of training")
    parser.add_argument(
        "--alert-budget", type=_budget, default=BUDGET, metavar="N",
        help=f"alerts per 1,000 active users per day (default {BUDGET:g})",
    )  # fmt: skip
    parser.add_argument("--method", choices=METHODS, default="mean", help="default mean")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same model (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="where to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the bundle is written."""
    from tuning.bundling import next_version
    from tuning.data import read_labels
    from tuning.train import TrainingSettings

    version = next_version(args.out, datetime.now(UTC).date().isoformat())
    _make_writable(args.out.absolute().parent)
    labels = read_labels(args.labels, events=args.events) if args.labels else None
    events = all_events(args, Counts())
    settings = TrainingSettings(budget=args.alert_budget, method=args.method, seed=args.seed)
    bundle = _train(events, labels, settings, args.out, version)
    _summarise(bundle, args)
    return 0


def _train(
    events: Sequence[AuthEvent],
    labels: Labels | None,
    settings: TrainingSettings,
    out: Path,
    version: str,
) -> Bundle:
    from tuning.bundling import Origin, write
    from tuning.data import fingerprint
    from tuning.train import train

    started = time.monotonic()
    anomalous = labels.anomalous if labels else frozenset()
    with stages("training", len(settings.detectors) + 5) as enter:
        trained = train(events, settings=settings, anomalous=anomalous, step=enter)
        enter("writing the bundle")
        origin = Origin(
            events=events,
            settings=settings,
            fingerprint=fingerprint(events, labels),
            training_s=time.monotonic() - started,
        )
        return write(trained, out, version=version, origin=origin)


def _summarise(bundle: Bundle, args: argparse.Namespace) -> None:
    metrics = bundle.manifest.details.metrics
    aside = metrics["set_aside"]
    print(f"{args.out}: model {bundle.version} of {', '.join(bundle.detectors)}")
    print(
        f"  trained on {metrics['events']:,} events of {metrics['users']:,} users "
        f"in {metrics['training_s']:.0f} s; {aside:.1%} set aside as not ordinary"
    )
    print(
        f"  alerts above score {metrics['threshold']:.6f}: "
        f"at most {args.alert_budget:g} a day per 1,000 active users"
    )
    print(f"next: ztad score --bundle {args.out} --events EVENTS --out verdicts.ndjson")
    print(f"  or: ztad serve --bundle {args.out}")


def _make_writable(parent: Path) -> None:
    """Find out before the work whether its result can be kept."""
    parent.mkdir(parents=True, exist_ok=True)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(13, "the directory is not writable", str(parent))


def _budget(text: str) -> float:
    try:
        budget = float(text)
    except ValueError:
        budget = 0.0
    if not 0.0 < budget < float("inf"):
        message = f"{text!r}: expected a number above 0, alerts per 1,000 active users per day"
        raise argparse.ArgumentTypeError(message)
    return budget
