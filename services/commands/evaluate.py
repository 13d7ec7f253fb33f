"""`ztad evaluate`: how good a bundle is on labelled events."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.commands.inputs import Counts, add_input_options, read_events
from services.commands.registering import local_bundle
from services.commands.score import batches
from services.progress import progress

if TYPE_CHECKING:
    from ensemble.scorer import Scorer
    from tuning.evaluate import Others, Training
    from tuning.evaluation.budget import Change
    from tuning.evaluation.judged import Judged, Scored
    from tuning.evaluation.resampling import Clusters

#: What `ztad generate` writes beside the events of a set.
SCENARIO = "scenario.json"
SUMMARY = "judge a model bundle on labelled events; JSON on stdout, a table on stderr"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("evaluate", help=SUMMARY, description=SUMMARY)
    parser.add_argument(
        "--bundle", type=Path, required=True,
        help="made by ztad train; or a registered version, or champion",
    )  # fmt: skip
    add_input_options(parser)
    parser.add_argument(
        "--labels", required=True, metavar="IN",
        help="labels.csv (event_id, is_anomaly, anomaly_type), or LANL's red-team list",
    )  # fmt: skip
    parser.add_argument(
        "--expected-share", type=_share, metavar="P",
        help="also judge at the training score that a share P of the training events exceed",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="store_true",
        help="also judge the original report's approach, and boosting that knows the labels",
    )  # fmt: skip
    parser.add_argument(
        "--ablation", type=Path, metavar="FILE",
        help="what ztad ablate wrote of the same events, to be told in the report as well",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write metrics.json, report.html, scores.csv"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when there was something to judge."""
    from tuning.evaluate import evaluate
    from tuning.report import read_ablation, render, write_report

    counts = Counts()
    scored, training, scorer = _scored(args, counts)
    metrics = evaluate(
        scored,
        training,
        expected_share=args.expected_share,
        known_changes=_changes(args.events),
        others=_others(args, scored, scorer),
    )
    metrics["events"]["rejected"] = counts.rejected
    metrics["ablation"] = read_ablation(args.ablation) if args.ablation else None
    if counts.refusals:
        metrics["notes"].append(counts.refusals)
    if args.out:
        write_report(args.out, metrics, scored)
    _show(metrics)
    sys.stdout.write(render(metrics).decode())
    return 0


def _changes(events: str) -> list[Change]:
    """What changed for many users at once, where a ``scenario.json`` beside the events says so."""
    from tuning.evaluation.budget import read_changes

    beside = Path(events).parent / SCENARIO
    return read_changes(beside) if events != "-" and beside.is_file() else []


def _others(args: argparse.Namespace, scored: Scored, scorer: Scorer) -> Others | None:
    """What judges the same events for comparison, if it is asked for."""
    from tuning.evaluation.comparison import STEPS, compare
    from tuning.evaluation.watching import WatchedScorer

    if not isinstance(scorer, WatchedScorer):
        return None
    seen = scorer.seen(scored.places)

    def others(judged: Judged, clusters: Clusters) -> Mapping[str, Any]:
        with progress("comparing", STEPS) as bar:
            share = args.expected_share
            return compare(judged, seen, clusters, expected_share=share, done=bar.advance)

    return others


def _scored(args: argparse.Namespace, counts: Counts) -> tuple[Scored, Training, Scorer]:
    from ensemble.scorer import Scorer, load_bundle
    from tuning.data import LabelsError, read_labels
    from tuning.evaluate import Training
    from tuning.evaluation.judged import score_labelled
    from tuning.evaluation.watching import WatchedScorer

    if args.events == "-" == args.labels:
        raise LabelsError("standard input", "cannot hold both --events and --labels")
    bundle = load_bundle(local_bundle(args.bundle))
    scorer = WatchedScorer(bundle) if args.compare else Scorer(bundle, every=True)
    spec = scorer.ensemble.spec
    training = Training.of(bundle.manifest, threshold=spec.threshold, budget=spec.budget)
    labels = read_labels(args.labels, events=args.events)
    events = read_events(args, counts, doing="scoring")
    scored = score_labelled(batches(events), scorer, labels, now_s=time.time())
    if not scored.event_ids:
        raise LabelsError(args.labels, f"no label belongs to any of {counts.events:,} events")
    return scored, training, scorer


def _show(metrics: Mapping[str, Any]) -> None:
    from rich.table import Table

    from services.commands.findings import console
    from services.commands.measured import causes, comparison, figure, points, types

    shown = console(sys.stderr)
    figures = ("accuracy", "precision", "recall", "f1", "roc_auc", "average_precision")
    where = "alert budget" if metrics["table_at"] == "budget" else "expected share"
    table = Table(title=f"at the threshold of the {where}")
    for name in ("detector", *figures):
        table.add_column(name, justify="left" if name == "detector" else "right")
    for row in metrics["table"]:
        table.add_row(row["name"], *(figure(row[name]) for name in figures))
    shown.print(table)
    for table in (points(metrics), types(metrics), causes(metrics), comparison(metrics)):
        if table.row_count:
            shown.print(table)
    for note in metrics["notes"]:
        shown.print(f"note: {note}")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.0 < share < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share between 0 and 1")
    return share
