"""`ztad train`: events in, a model bundle out."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services.commands.inputs import Counts, add_input_options, all_events
from services.progress import stages
from services.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from models.bundle import Bundle
    from preprocessing.event import AuthEvent
    from services.commands.registering import Kept
    from tuning.data import Labels
    from tuning.train import TrainingSettings

SUMMARY = "fit every detector to events and write a model bundle"
#: As ensemble.combine.METHODS and ensemble.budget.DEFAULT_BUDGET, which cost an import of numpy;
#: a test compares them.
METHODS = ("tail", "mean", "max", "weighted", "vote")
BUDGET = 25.0
#: As tuning.weighing.Basis; by what the detectors' weights were chosen.
BASES = {
    "equal": "all equal",
    "given": "weighed as asked",
    "agreement": "weighed by agreement on later events",
    "labels": "weighed by labels of later events",
}
#: As models.aliases.ALIASES, for the same reason.
ALIASES = ("champion", "challenger", "shadow")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("train", help=SUMMARY, description=SUMMARY)
    add_input_options(parser)
    parser.add_argument(
        "--labels", metavar="IN", help="known anomalies are kept out, and weigh the detectors"
    )
    parser.add_argument(
        "--alert-budget", type=_budget, default=BUDGET, metavar="N",
        help=f"alerts per 1,000 active users per day (default {BUDGET:g})",
    )  # fmt: skip
    parser.add_argument("--method", choices=METHODS, default="tail", help="default tail")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same model (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="where to write")
    registry = parser.add_mutually_exclusive_group()
    registry.add_argument(
        "--alias", choices=ALIASES,
        help="what the registered version becomes; default: champion if there is none",
    )  # fmt: skip
    registry.add_argument(
        "--no-register", action="store_true", help="write the bundle and tell no registry"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the bundle is written."""
    from services.commands.registering import Kept, registry_of, write_registered
    from tuning.bundling import next_version
    from tuning.data import read_labels
    from tuning.train import TrainingSettings

    version = next_version(args.out, datetime.now(UTC).date().isoformat())
    _make_writable(args.out.absolute().parent)
    labels = read_labels(args.labels, events=args.events) if args.labels else None
    events = all_events(args, Counts())
    settings = TrainingSettings(budget=args.alert_budget, method=args.method, seed=args.seed)
    with _trained(events, labels, settings, args.out) as write:
        if args.no_register:
            kept = Kept(write(version), registered=False)
        else:
            kept = write_registered(write, args.out, registry_of(load()), args.alias)
    _summarise(kept, args)
    return 0


@contextmanager
def _trained(
    events: Sequence[AuthEvent], labels: Labels | None, settings: TrainingSettings, out: Path
) -> Iterator[Callable[[str], Bundle]]:
    """Train, and give what writes the bundle of a version."""
    from tuning.bundling import Origin, write
    from tuning.data import fingerprint
    from tuning.train import train

    started = time.monotonic()
    anomalous = labels.anomalous if labels else frozenset()
    with stages("training", len(settings.detectors) + 6) as enter:
        trained = train(events, settings=settings, anomalous=anomalous, step=enter)
        enter("writing the bundle")
        origin = Origin(
            events=events,
            settings=settings,
            fingerprint=fingerprint(events, labels),
            training_s=time.monotonic() - started,
        )
        yield lambda version: write(trained, out, version=version, origin=origin)


def _summarise(kept: Kept, args: argparse.Namespace) -> None:
    bundle = kept.bundle
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
    print(f"  {_weighed(bundle.manifest.details.settings)}")
    if kept.registered:
        print(f"  registered as {bundle.version}{f', the {kept.alias}' if kept.alias else ''}")
    print(f"next: ztad score --bundle {args.out} --events EVENTS --out verdicts.ndjson")
    print(f"  or: {_how_to_serve(kept, args.out)}")


def _weighed(settings: Mapping[str, Any]) -> str:
    """How much each detector counts, and by what that was chosen."""
    basis = BASES[settings["weighing"]["basis"]]
    weights = settings["weights"]
    told = ", ".join(f"{name} {weights.get(name, 1.0):g}" for name in settings["detectors"])
    return f"combined by {settings['method']}, {basis}: {told}"


def _how_to_serve(kept: Kept, out: Path) -> str:
    if kept.alias == "champion":
        return "ztad serve"
    if kept.registered:
        return f"ztad models promote {kept.bundle.version}"
    return f"ztad serve --bundle {out}"


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
