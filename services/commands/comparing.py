"""``ztad models diff``: what differs between two model versions, and which events they dispute."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from services.commands.inputs import Counts, read_events
from services.commands.registering import bundle_path, registry_of
from services.commands.score import batches
from services.settings import load

if TYPE_CHECKING:
    from ensemble.comparison import Comparison, Judged, Side
    from models.bundle import Bundle
    from models.manifest import Manifest
    from tuning.data import Labels

#: Disputed events shown on a terminal; JSON has more.
MOST_SHOWN = 10


def diff(args: argparse.Namespace) -> int:
    """Exit code 0 whether or not anything differs."""
    from ensemble.scorer import load_bundle
    from models.bundle import Bundle

    registry = registry_of(load())
    read = load_bundle if args.events else Bundle.load
    first, second = (read(bundle_path(name, registry)) for name in (args.first, args.second))
    differences = dict(_differences(first.manifest, second.manifest))
    compared = _compare(args, first, second) if args.events else None
    if args.json:
        document = {
            "versions": [first.version, second.version],
            "differences": differences,
            "events": compared and document_of(compared),
        }
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
        return 0
    _show_differences(differences, (first.version, second.version), sys.stdout)
    if compared is not None:
        show(compared, (first.version, second.version), sys.stdout)
    return 0


def _compare(args: argparse.Namespace, first: Bundle, second: Bundle) -> Comparison:
    """Both versions on the same events, each with the history that it was trained on."""
    from ensemble.comparison import Comparison
    from ensemble.scorer import Scorer
    from tuning.data import read_labels

    labels = read_labels(args.labels, events=args.events) if args.labels else None
    counts = Counts()
    scorers = Scorer(first), Scorer(second)
    compared = Comparison()
    now_s = time.time()
    for batch in batches(read_events(args, counts, doing="scoring with both")):
        known = [_label(labels, event.event_id) for event in batch]
        verdicts = scorers[0].score(batch, now_s=now_s), scorers[1].score(batch, now_s=now_s)
        compared.add(batch, verdicts, known)
    if counts.refusals:
        print(counts.refusals, file=sys.stderr)
    return compared


def _label(labels: Labels | None, event_id: str) -> bool | None:
    if labels is None or not labels.knows(event_id):
        return None
    return labels.types.get(event_id) is not None


def document_of(compared: Comparison) -> dict[str, Any]:
    """The same for machines."""
    first, second = compared.judged
    return {
        "scored": compared.events,
        "rank_correlation": compared.rank_correlation,
        "first": first,
        "second": second,
        "both": compared.both,
        "lost": compared.lost,
        "gained": compared.gained,
        "users_affected": compared.users_affected,
    }


def _differences(first: Manifest, second: Manifest) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """What two manifests tell differently, by name; None where one tells nothing."""
    told = [dict(_told(manifest)) for manifest in (first, second)]
    for name in dict.fromkeys((*told[0], *told[1])):
        pair = told[0].get(name), told[1].get(name)
        if pair[0] != pair[1]:
            yield name, pair


def _told(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    from models.tracking import flat

    yield "created", manifest.created
    yield "detectors", ", ".join(manifest.detectors)
    yield "features", manifest.schema.version
    yield "training data", manifest.details.fingerprint
    yield from flat(manifest.details.settings)
    yield from flat(manifest.details.metrics)
    yield from flat(manifest.libraries)


def _show_differences(
    differences: Mapping[str, tuple[Any, Any]], versions: tuple[str, str], stream: TextIO
) -> None:
    from rich.table import Table

    from services.commands.findings import console

    table = Table(title="how they were made")
    for name in ("", *versions):
        table.add_column(name, overflow="fold")
    for name, pair in differences.items():
        table.add_row(name, *("–" if value is None else str(value) for value in pair))
    console(stream).print(table if differences else "both were made alike")


def show(compared: Comparison, versions: tuple[str, str], stream: TextIO) -> None:
    """What differs between the verdicts of two versions, as tables."""
    from services.commands.findings import console

    shown = console(stream)
    shown.print(_alerts(compared, versions))
    correlation = compared.rank_correlation
    told = "–" if correlation is None else f"{correlation:.4f}"
    lost, gained = compared.lost, compared.gained
    shown.print(
        f"events judged by both: {compared.events:,}; alerts: {compared.both:,} of both, "
        f"{lost.events:,} lost, {gained.events:,} gained; users affected: "
        f"{compared.users_affected:,}; rank correlation: {told}"
    )
    if lost.events or gained.events:
        shown.print(_reasons(lost, gained))
    for side, what in ((lost, "lost"), (gained, "gained")):
        if side.events:
            shown.print(_examples(side, what))


def _alerts(compared: Comparison, versions: tuple[str, str]) -> Any:
    from rich.table import Table

    table = Table(title="alerts of each")
    table.add_column("")
    for version in versions:
        table.add_column(version, justify="right")
    first, second = compared.judged
    lost, gained = compared.lost, compared.gained
    table.add_row("alerts", f"{first.alerts:,}", f"{second.alerts:,}")
    table.add_row("users in them", f"{first.users:,}", f"{second.users:,}")
    table.add_row("alerts of this one alone", f"{lost.events:,} lost", f"{gained.events:,} gained")
    table.add_row("users in those", f"{lost.users:,}", f"{gained.users:,}")
    if lost.anomalous is not None and gained.anomalous is not None:
        table.add_row("of them anomalous", f"{lost.anomalous:,}", f"{gained.anomalous:,}")
        for name in ("precision", "recall", "roc_auc", "average_precision"):
            table.add_row(name.replace("_", " "), _figure(first, name), _figure(second, name))
    return table


def _reasons(lost: Side, gained: Side) -> Any:
    from rich.table import Table

    table = Table(title="by their weightiest reason")
    table.add_column("reason")
    for what in ("lost", "gained"):
        table.add_column(what, justify="right")
    for code in dict.fromkeys((*lost.reasons, *gained.reasons)):
        table.add_row(code, f"{lost.reasons.get(code, 0):,}", f"{gained.reasons.get(code, 0):,}")
    return table


def _examples(side: Side, what: str) -> Any:
    from rich.table import Table

    most = f", the {MOST_SHOWN} rarest of {side.events:,}" if side.events > MOST_SHOWN else ""
    table = Table(title=f"alerts {what}{most}")
    for name in ("time (UTC)", "user", "severity", "why"):
        table.add_column(name, overflow="fold")
    for example in side.examples[:MOST_SHOWN]:
        at = example.timestamp.replace("T", " ")[:19]
        table.add_row(at, example.user_id, example.severity, example.text)
    return table


def _figure(judged: Judged, name: str) -> str:
    value = getattr(judged, name)
    return "–" if value is None else f"{value:.3f}"
