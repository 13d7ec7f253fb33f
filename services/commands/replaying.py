"""``ztad alerts replay``: what alert rules would have made of past events."""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.commands.inputs import Counts, add_input_options, read_events

if TYPE_CHECKING:
    from alerting.replay import Replay
    from alerting.rules import Rules
    from ensemble.verdict import Verdict
    from preprocessing.event import AuthEvent

SUMMARY = "count the messages that past events would have led to; nothing is sent"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is replayed."""
    parser.add_argument(
        "--bundle", type=Path, required=True,
        help="made by ztad train; or a registered version, or champion",
    )  # fmt: skip
    add_input_options(parser)
    parser.add_argument(
        "--labels", type=Path, metavar="FILE",
        help="labels.csv: also count which alerts hold a labelled event, and the campaigns told",
    )  # fmt: skip


def replayed(args: argparse.Namespace, rules: Rules) -> int:
    """Score, offer in order of time, count; exit code 0."""
    from alerting.replay import replay

    seen: set[str] = set()
    flagged = _scored(args, seen)
    done = asyncio.run(replay(rules, flagged))
    days = Counter(_day(event.timestamp.timestamp()) for _, event in flagged)
    judged = _judged(args.labels, seen, done) if args.labels is not None else []
    table = _table()
    for name, value in [*_figures(done, days), *judged]:
        table.add_row(name, value)
    _console().print(table)
    return 0


def _scored(args: argparse.Namespace, seen: set[str]) -> list[tuple[Verdict, AuthEvent]]:
    """The flagged events with their verdicts; the ids of all go into ``seen``."""
    from ensemble.scorer import Scorer, load_bundle
    from services.commands.registering import local_bundle
    from services.commands.score import batches

    scorer = Scorer(load_bundle(local_bundle(args.bundle)))
    now_s, flagged = time.time(), []
    for batch in batches(read_events(args, Counts(), doing="scoring")):
        seen.update(event.event_id for event in batch)
        pairs = zip(scorer.score(batch, now_s=now_s), batch, strict=True)
        flagged += [(verdict, event) for verdict, event in pairs if verdict.is_anomaly]
    return flagged


def _figures(done: Replay, days: Counter[str]) -> list[tuple[str, str]]:
    suspicious, messages = len(done.alert_of), len(done.sent)
    kinds = Counter(each.message.kind for each in done.sent)
    channels = Counter(each.channel for each in done.sent)
    held = Counter(alert.held.partition(":")[0] for alert in done.alerts if alert.held)
    severities = Counter(alert.severity for alert in done.alerts)
    return [
        ("suspicious events", f"{suspicious:,}"),
        ("of them dropped by rules", f"{sum(done.counts.dropped.values()):,}"),
        ("alerts", f"{len(done.alerts):,}{_listed(severities)}"),
        ("alerts held at the end", f"{sum(held.values()):,}{_listed(held)}"),
        ("messages", f"{messages:,}{_listed(kinds)}"),
        ("messages by channel", _listed(channels).strip(" ()") or "none"),
        ("events per message", f"{suspicious / messages:.1f}" if messages else "–"),
        ("worst day", _worst_day(done, days)),
    ]


def _worst_day(done: Replay, days: Counter[str]) -> str:
    """The day (UTC) with most suspicious events, how many messages, and events per message."""
    if not days:
        return "–"
    day, events = days.most_common(1)[0]
    messages = sum(_day(each.at_s) == day for each in done.sent)
    per = f", {events / messages:.1f} per message" if messages else ""
    return f"{day}: {events:,} events, {messages:,} messages{per}"


def _judged(path: Path, seen: set[str], done: Replay) -> list[tuple[str, str]]:
    """Alerts against the labels of the events ``seen``; no stage has seen a label."""
    anomalous, campaigns = _labels(path, seen)
    good = {done.alert_of[event_id] for event_id in anomalous if event_id in done.alert_of}
    rows = []
    for severity in ("critical", "high", "medium", "low"):
        alerts = [alert.alert_id for alert in done.alerts if alert.severity == severity]
        right = sum(alert_id in good for alert_id in alerts)
        rows.append((f"{severity} with a labelled event", f"{right:,} of {len(alerts):,}"))
    told = {told.alert.alert_id for each in done.sent for told in each.message.told}
    missed = sorted(
        name
        for name, ids in campaigns.items()
        if not told & {done.alert_of[event_id] for event_id in ids if event_id in done.alert_of}
    )
    note = f"; not {', '.join(missed)}" if missed else ""
    rows.append(("campaigns told", f"{len(campaigns) - len(missed)} of {len(campaigns)}{note}"))
    return rows


def _labels(path: Path, seen: set[str]) -> tuple[set[str], dict[str, set[str]]]:
    """Ids of the anomalous events, and of each campaign's."""
    anomalous: set[str] = set()
    campaigns: dict[str, set[str]] = defaultdict(set)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("is_anomaly") == "1" and row.get("event_id") in seen:
                anomalous.add(row["event_id"])
                if row.get("campaign_id"):
                    campaigns[row["campaign_id"]].add(row["event_id"])
    return anomalous, campaigns


def _day(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def _listed(counts: Counter[Any]) -> str:
    told = ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
    return f" ({told})" if told else ""


def _table() -> Any:
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column("what")
    table.add_column("how many")
    return table


def _console() -> Any:
    from services.commands.findings import console

    return console(sys.stdout)
