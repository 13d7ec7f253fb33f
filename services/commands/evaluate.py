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

if TYPE_CHECKING:
    from tuning.evaluate import Scored, Training

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
    parser.add_argument("--out", type=Path, metavar="DIR", help="write metrics.json, scores.csv")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when there was something to judge."""
    from tuning.evaluate import evaluate
    from tuning.report import render, write_report

    counts = Counts()
    scored, training = _scored(args, counts)
    metrics = evaluate(scored, training, expected_share=args.expected_share)
    metrics["events"]["rejected"] = counts.rejected
    if counts.refusals:
        metrics["notes"].append(counts.refusals)
    if args.out:
        write_report(args.out, metrics, scored)
    _show(metrics)
    sys.stdout.write(render(metrics).decode())
    return 0


def _scored(args: argparse.Namespace, counts: Counts) -> tuple[Scored, Training]:
    from ensemble.scorer import Scorer, load_bundle
    from tuning.data import LabelsError, read_labels
    from tuning.evaluate import Training, score_labelled

    if args.events == "-" == args.labels:
        raise LabelsError("standard input", "cannot hold both --events and --labels")
    bundle = load_bundle(local_bundle(args.bundle))
    scorer = Scorer(bundle)
    spec = scorer.ensemble.spec
    training = Training.of(bundle.manifest, threshold=spec.threshold, budget=spec.budget)
    labels = read_labels(args.labels, events=args.events)
    events = read_events(args, counts, doing="scoring")
    scored = score_labelled(batches(events), scorer, labels, now_s=time.time())
    if not scored.event_ids:
        raise LabelsError(args.labels, f"no label belongs to any of {counts.events:,} events")
    return scored, training


def _show(metrics: Mapping[str, Any]) -> None:
    from rich.table import Table

    from services.commands.findings import console

    shown = console(sys.stderr)
    figures = ("accuracy", "precision", "recall", "f1", "roc_auc", "average_precision")
    where = "alert budget" if metrics["table_at"] == "budget" else "expected share"
    table = Table(title=f"at the threshold of the {where}")
    for name in ("detector", *figures):
        table.add_column(name, justify="left" if name == "detector" else "right")
    for row in metrics["table"]:
        table.add_row(row["name"], *(_figure(row[name]) for name in figures))
    shown.print(table)
    shown.print(_types(metrics))
    for note in metrics["notes"]:
        shown.print(f"note: {note}")


def _types(metrics: Mapping[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title="alerted, by anomaly type")
    columns = [name for name in metrics["types"][0] if name != "type"]
    table.add_column("type")
    for name in columns:
        table.add_column(name.replace("alerted_", ""), justify="right")
    for row in metrics["types"]:
        figures = (_figure(row[name]) for name in columns[1:])
        table.add_row(row["type"] or "(ordinary)", f"{row['events']:,}", *figures)
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.0 < share < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share between 0 and 1")
    return share
