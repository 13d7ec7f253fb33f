"""`ztad ablate`: what each detector and each family of features contributes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.commands.inputs import Counts, add_input_options, all_events, moment
from services.progress import stages

if TYPE_CHECKING:
    from preprocessing.event import AuthEvent

SUMMARY = "judge the ensemble without each detector and each feature family; JSON on stdout"
#: Stages told besides one per detector: habits twice, a provisional ensemble, weights, families.
_MORE_STAGES = 13


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("ablate", help=SUMMARY, description=SUMMARY)
    add_input_options(parser)
    parser.add_argument(
        "--labels", required=True, metavar="IN",
        help="labels.csv, or LANL's red-team list; they judge and train nothing",
    )  # fmt: skip
    parser.add_argument(
        "--judge-from", type=moment, metavar="TIME",
        help="train on events before this time, judge those after it (default: half of each)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="same seed, same figures (default 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write ablation.json there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every variation is judged."""
    from tuning.data import LabelsError, read_labels
    from tuning.evaluation.ablation import ablate
    from tuning.report import ABLATION, render
    from tuning.train import TrainingError, TrainingSettings

    labels = read_labels(args.labels, events=args.events)
    events = sorted(all_events(args, Counts()), key=lambda event: event.timestamp)
    training, later = _parts(events, args.judge_from)
    if not training or not any(labels.knows(event.event_id) for event in later):
        raise TrainingError("expected events to train on and labelled ones after them to judge")
    if not labels.anomalous & {event.event_id for event in later}:
        raise LabelsError(args.labels, "no event that is judged is labelled anomalous")
    settings = TrainingSettings(seed=args.seed)
    with stages("ablating", len(settings.detectors) + _MORE_STAGES) as enter:
        told = {"rows": ablate(training, later, labels, settings=settings, step=enter)}
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / ABLATION).write_bytes(render(told))
    _show(told["rows"])
    sys.stdout.write(render(told).decode())
    return 0


def _parts(
    events: list[AuthEvent], judge_from: datetime | None
) -> tuple[list[AuthEvent], list[AuthEvent]]:
    if judge_from is None:
        return events[: len(events) // 2], events[len(events) // 2 :]
    at = next((n for n, e in enumerate(events) if e.timestamp >= judge_from), len(events))
    return events[:at], events[at:]


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    from services.commands.findings import console
    from services.commands.measured import with_interval

    table = Table(title="gain: the whole ensemble's average precision less this one's")
    for name in ("ensemble", "average precision", "gain", "roc auc", "recall, campaigns at budget"):
        table.add_column(name, justify="left" if name == "ensemble" else "right")
    for row in rows:
        at = row["operating_points"]["budget"]
        table.add_row(
            row["name"],
            with_interval(row, "average_precision"),
            with_interval(row, "gain_average_precision"),
            with_interval(row, "roc_auc"),
            f"{with_interval(at, 'recall')}, {with_interval(at, 'campaign_recall')}",
        )
    console(sys.stderr).print(table)
