"""`ztad generate`: labelled synthetic events as CSV files."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.progress import progress

if TYPE_CHECKING:
    from tuning.generate import Generated

SUMMARY = "write labelled synthetic events (events.csv, labels.csv, scenario.json)"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("generate", help=SUMMARY, description=SUMMARY)
    parser.add_argument(
        "--scenario",
        default="seedlike",
        help="seedlike, seedlike-dirty, enterprise, drift, poison, poison-control",
    )
    parser.add_argument("--events", type=int, default=50_000, help="how many (default 50,000)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    parser.add_argument(
        "--anomaly-share",
        type=float,
        metavar="P",
        help="share of anomalous events, 0 to 0.5 (default: the scenario's own)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--fairness",
        action="store_true",
        help="also print the ROC-AUC of detectors that see only the raw columns",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when both files are written, 2 for bad usage."""
    from tuning.generate import BadShare, TooFewEvents, UnknownScenario, check, write

    try:
        check(args.scenario, args.events, args.anomaly_share)
        _make_writable(args.out)
        with progress(f"generating {args.scenario}", args.events) as bar:
            generated = write(
                args.out,
                args.scenario,
                events=args.events,
                seed=args.seed,
                anomaly_share=args.anomaly_share,
                progress=bar.advance,
            )
    except (UnknownScenario, TooFewEvents, BadShare) as problem:
        return _refuse(str(problem))
    except OSError as problem:
        return _refuse(f"cannot write to {args.out}: {problem.strerror or problem}")
    _summarise(args.out, generated)
    if args.fairness:
        _print_fairness(generated)
    return 0


def _make_writable(out: Path) -> None:
    """Find out before the work whether its result can be kept."""
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):
        raise PermissionError(13, "the directory is not writable")


def _refuse(problem: str) -> int:
    print(f"ztad generate: {problem}", file=sys.stderr)
    return 2


def _summarise(out: Path, generated: Generated) -> None:
    counts = Counter(str(label["anomaly_type"]) for label in generated.labels)
    ordinary = counts.pop("normal", 0)
    total = len(generated.labels)
    print(f"{out / 'events.csv'}: {total:,} events of {_users(generated.events):,} users")
    print(f"{out / 'labels.csv'}: {total - ordinary:,} anomalous ({1 - ordinary / total:.1%})")
    for name, count in counts.most_common():
        print(f"  {count:7,}  {name}")


def _users(events: Iterable[Mapping[str, Any]]) -> int:
    return len({event["user_id"] for event in events})


def _print_fairness(generated: Generated) -> None:
    from tuning.rawbaseline import raw_column_auc

    row = raw_column_auc(generated.events, generated.labels)
    cells = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
    print(f"raw columns, ROC-AUC: {cells}")
