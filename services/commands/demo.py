"""``ztad demo``: a synthetic organisation, a trained ensemble, and its logins scored live.

It runs the same commands that anybody would, then plays the days after training to the gateway
over HTTP, in the order they happened, and compares the alerts with the labels that scoring never
saw.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.commands.ports import port
from services.settings import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preprocessing.event import AuthEvent
    from services.node import Node
    from tuning.data import Labels

SUMMARY = "train on a synthetic organisation and watch its logins being scored live"
SCENARIO, EVENTS, SEED = "enterprise", "40000", "42"
#: The model learns what comes before; what comes after is played live.
LIVE_FROM = "2025-06-20"
#: Events per request while playing; a log shipper sends about as many at once.
BATCH = 100
MOST_SHOWN = 10


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("demo", help=SUMMARY, description=SUMMARY)
    parser.add_argument("--port", type=port, default=8000, help="HTTP port (default 8000)")
    parser.add_argument("--exit", action="store_true", help="end after the tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when everything was scored, 2 when it cannot start."""
    from services.commands.serve import stop_signals
    from services.node import Node, NodeSettings, StartError

    settings = load()
    home = settings.home / "demo"
    shutil.rmtree(home / "state", ignore_errors=True)
    code = _prepare(home)
    if code:
        return code
    arguments = {
        "bundle": str(home / "bundle"),
        "state_dir": str(home / "state"),
        "auth": "none",
        "audit_log": str(settings.audit_path),
    }
    try:
        with Node(NodeSettings(home=settings.home, port=_port(args.port)), _say) as node:
            stopped = stop_signals()
            started = time.monotonic()
            node.start(arguments)
            _say(f"ready in {time.monotonic() - started:.1f} s")
            play(node, home)
            _tell_where(node)
            if not args.exit:
                print("serving until Ctrl-C", flush=True)
                stopped.wait()
    except StartError as error:
        print(f"ztad demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


@dataclass(slots=True)
class Played:
    """What came back for the events that were played."""

    events: list[AuthEvent] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0


def play(node: Node, home: Path) -> None:
    """Play the days after training to the gateway and print what it made of them."""
    from rich.console import Console

    from tuning.data import read_labels

    console = Console()
    live = _live_events(home / "data" / "events.csv")
    played = _send(node.url, live)
    labels = read_labels(str(home / "data" / "labels.csv"))
    _show_types(console, played, labels)
    _show_alerts(console, played)
    rate = len(played.events) / max(played.seconds, 1e-9)
    console.print(
        f"{len(played.events):,} events scored over HTTP in {played.seconds:.1f} s "
        f"({rate:,.0f} events/s in requests of {BATCH}, one after the other), "
        f"{len(played.alerts):,} alerts, {played.errors} errors"
    )


def _prepare(home: Path) -> int:
    """Generate and train with the commands anybody would use; their exit code."""
    from services.cli import main

    data, bundle = home / "data", home / "bundle"
    commands = (
        [
            "generate",
            "--scenario",
            SCENARIO,
            "--events",
            EVENTS,
            "--seed",
            SEED,
            "--out",
            str(data),
        ],
        [
            "train",
            "--events",
            str(data / "events.csv"),
            "--until",
            LIVE_FROM,
            "--out",
            str(bundle),
            "--no-register",
        ],
    )
    for words in commands:
        print(f"\n$ ztad {' '.join(words)}", flush=True)
        code = main(words)
        if code:
            return code
    print("\n$ ztad serve --bundle", bundle, flush=True)
    return 0


def _live_events(path: Path) -> list[AuthEvent]:
    from preprocessing.event import AuthEvent
    from preprocessing.sources import SourceOptions, open_events

    items = open_events(path, options=SourceOptions(now_s=time.time()))
    events = [item for item in items if isinstance(item, AuthEvent)]
    return [event for event in events if event.timestamp.isoformat() >= LIVE_FROM]


def _send(url: str, events: Sequence[AuthEvent]) -> Played:
    """Post the events in order, a batch at a time, printing alerts as they come."""
    import httpx
    import msgspec

    from preprocessing.event import encode_event
    from services.progress import progress

    played = Played(list(events))
    headers = {"content-type": "application/x-ndjson"}
    started = time.monotonic()
    with (
        httpx.Client(trust_env=False, timeout=30.0, headers=headers) as client,
        progress("scoring the live stream", len(events)) as bar,
    ):
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            body = b"\n".join(encode_event(event) for event in batch)
            response = client.post(f"{url}/v1/score/batch", content=body)
            response.raise_for_status()
            for line in response.content.splitlines():
                verdict = msgspec.json.decode(line)
                played.errors += "error" in verdict
                if verdict.get("is_anomaly"):
                    played.alerts.append(verdict)
            bar.advance(len(batch))
    played.seconds = time.monotonic() - started
    return played


def _show_types(console: Any, played: Played, labels: Labels) -> None:
    """Events and alerts per anomaly type, and the false alarms beside the promised budget."""
    from rich.table import Table

    from ensemble.budget import DEFAULT_BUDGET

    alerted = {verdict["event_id"] for verdict in played.alerts}
    kinds = {event.event_id: labels.types.get(event.event_id) for event in played.events}
    total = Counter(kind for kind in kinds.values() if kind)
    found = Counter(kind for event_id, kind in kinds.items() if kind and event_id in alerted)
    table = Table(title="\nwhat was detected, against the labels", title_justify="left")
    for name, justify in (("anomaly type", "left"), ("events", "right"), ("alerted", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for kind in sorted(total):
        table.add_row(kind, f"{total[kind]}", f"{found[kind]} ({found[kind] / total[kind]:.0%})")
    table.add_section()
    false = sum(kinds[event_id] is None for event_id in alerted)
    table.add_row("ordinary events", f"{sum(k is None for k in kinds.values()):,}", f"{false}")
    console.print(table)
    user_days = len({(event.user_id, event.timestamp.date()) for event in played.events})
    console.print(
        f"false alarms per 1,000 active users and day: {1000 * false / user_days:.1f}"
        f" (promised: at most {DEFAULT_BUDGET:.0f})"
    )


def _show_alerts(console: Any, played: Played) -> None:
    """The users with the most suspicious events, each with the reasons of their worst."""
    from rich.table import Table

    worst: dict[str, dict[str, Any]] = {}
    for verdict in sorted(played.alerts, key=lambda v: -v["score"]):
        worst.setdefault(verdict["user_id"], verdict)
    count = Counter(verdict["user_id"] for verdict in played.alerts)

    table = Table(title="\nthe most suspicious users", title_justify="left", show_lines=True)
    table.add_column("user")
    table.add_column("alerts", justify="right")
    table.add_column("severity")
    table.add_column("why, of the worst event", overflow="fold")
    for user, verdict in list(worst.items())[:MOST_SHOWN]:
        why = "\n".join(
            f"{reason['attack']} {reason['text']} [usual: {reason['usual']}]"
            for reason in verdict["reasons"][:3]
        )
        table.add_row(_plain(user), str(count[user]), verdict["severity"], _plain(why))
    console.print(table)


def _plain(text: str) -> Any:
    """Text that is shown as it is, whatever brackets it holds."""
    from rich.text import Text

    return Text(text)


def _tell_where(node: Node) -> None:
    print(f"\nAPI docs: {node.url}/docs   score: POST {node.url}/v1/score", flush=True)


def _port(wanted: int) -> int:
    """The wanted port, or a free one if somebody else has it: a demo should just run."""
    from services.node import StartError, check_port, free_ports

    try:
        check_port("127.0.0.1", wanted)
    except StartError:
        return free_ports(1)[0]
    return wanted


def _say(text: str) -> None:
    print(f"ztad: {text}", file=sys.stderr, flush=True)
