"""Benches of ``ztad bench`` that are not of the graph over HTTP. PostgreSQL, Redis and Kafka are
those of ``make backends``, and started where they do not run."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from services.bench.rows import Row
    from services.bench.streams import StoreKind

STREAM_EVENTS, FAULT_EVENTS, QUERY_ROWS, QUESTIONS = 1_000_000, 60_000, 10_000_000, 300
STAGES_EVENTS = 100_000
QUICK_RUNS, QUICK_SECONDS = 1, 2.0
#: Columns of the tables where no terminal says.
WIDTH = 130

Say = Callable[[str], None]


class Found(NamedTuple):
    """What was found, what to print of it, and the rows to compare with the last report's."""

    found: Any
    shown: RenderableType
    rows: Sequence[Row] = ()


def add_other_benches(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--faults", action="store_true", help="kill each part under load instead")
    kinds.add_argument(
        "--stream", action="store_true", help="from Kafka through the graph to the store instead"
    )
    kinds.add_argument(
        "--stream-faults", action="store_true", help="the same under faults, every event counted"
    )
    kinds.add_argument(
        "--queries", action="store_true", help="questions to a PostgreSQL full of verdicts instead"
    )
    kinds.add_argument(
        "--stages", action="store_true", help="what each stage costs an event, in one process"
    )
    kinds.add_argument(
        "--peers", action="store_true", help="beside what others would build ('make bench-peers')"
    )
    kinds.add_argument(
        "--users",
        nargs="?",
        type=_sizes,
        const=(),
        metavar="N,N",
        help="what an event costs as users grow (1000,10000,100000,1000000)",
    )
    kinds.add_argument(
        "--histories", action="store_true", help="the same by where the history is: memory, Redis"
    )
    kinds.add_argument(
        "--replicas", action="store_true", help="the graph with two detectors or Preprocessors"
    )
    parser.add_argument(
        "--events",
        type=positive,
        help="with --stream (1,000,000), --stream-faults (60,000), --stages and --histories "
        "(100,000), and --users (40,000)",
    )
    parser.add_argument(
        "--store", choices=("sqlite", "postgres"), help="with --stream; default: both in turn"
    )
    parser.add_argument(
        "--rows", type=positive, default=QUERY_ROWS, help="with --queries (default 10,000,000)"
    )


def positive(text: str) -> int:
    """A number of an option, at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def seconds(text: str) -> float:
    """How long a load is, in seconds."""
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("from 0.1 to 3600")
    return value


def only_what_is_kept(args: argparse.Namespace) -> None:
    """Raises ``services.bench.subject.BenchError`` before anything is measured in vain."""
    from services.bench.subject import BenchError

    asked = (args.faults, args.stream, args.stream_faults, args.queries)
    if args.keep is not None and any(asked):
        raise BenchError("--keep compares no reports of this bench; --out FILE writes one")


def is_other(args: argparse.Namespace) -> bool:
    """Whether one of these benches is asked for."""
    asked = (args.stream, args.stream_faults, args.queries, args.stages, args.peers)
    return any((*asked, args.histories, args.replicas)) or args.users is not None


def effort(args: argparse.Namespace) -> tuple[int, float]:
    """How often, and for how many seconds each."""
    return (QUICK_RUNS, QUICK_SECONDS) if args.quick else (args.runs, args.seconds)


def measure_others(
    args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say
) -> int:
    """Exit code 0 when it was measured; raises ``services.bench.subject.BenchError``."""
    import msgspec
    from rich.console import Console

    if args.stream:
        kind, made = "stream", _stream(args, home, bundle, events, say)
    elif args.stages:
        kind, made = "stages", _stages(args, bundle, events, say)
    elif args.users is not None:
        kind, made = "users", _users(args, bundle, events, say)
    elif args.histories:
        kind, made = "histories", _histories(args, home, bundle, events, say)
    elif args.replicas:
        kind, made = "replicas", _replicas(args, home, bundle, events, say)
    elif args.stream_faults:
        kind, made = "stream-faults", _stream_faults(args, home, bundle, events, say)
    elif args.peers:
        kind, made = "peers", _peers(args, home, bundle, events, say)
    else:
        kind, made = "queries", _queries(args, bundle, events, say)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_bytes(msgspec.json.format(msgspec.json.encode(made.found)))
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(made.shown)
    if args.keep is not None and made.rows:
        say(f"kept as {_kept(args.keep, kind, made, console)}")
    return 0


def _kept(folder: Path, kind: str, made: Found, console: Console) -> Path:
    from services.bench.kept import keep_and_compare, kept
    from services.bench.machine import calibrate

    ended = datetime.now(UTC).isoformat(timespec="seconds")
    return keep_and_compare(folder, kept(kind, ended, calibrate(), made.rows, made.found), console)


def _stream(args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.stream_table import streamed_table
    from services.bench.streams import run_stream

    kinds: tuple[StoreKind, ...] = (args.store,) if args.store else ("sqlite", "postgres")
    count = args.events or STREAM_EVENTS
    runs = [run_stream(home / "streams", bundle, events, kind, count, say) for kind in kinds]
    return Found(runs, streamed_table(runs))


def _stream_faults(
    args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say
) -> Found:
    from services.bench.stream_faults import run_stream_faults
    from services.bench.stream_table import disturbed_table

    count = args.events or FAULT_EVENTS
    runs = run_stream_faults(home / "streams", bundle, events, count, say)
    return Found(runs, disturbed_table(runs))


def _stages(args: argparse.Namespace, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.stages import run_stages
    from services.bench.stages_table import stage_rows, stages_table

    say("scoring in one process")
    _collect_as_served()
    staged = run_stages(bundle, events, args.events or STAGES_EVENTS)
    return Found(staged, stages_table(staged), stage_rows("stages", staged))


def _users(args: argparse.Namespace, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.stages_table import users_rows, users_table
    from services.bench.users import EVENTS, SIZES, run_users

    sizes = run_users(bundle, events, args.users or SIZES, args.events or EVENTS, say)
    return Found(sizes, users_table(sizes), users_rows(sizes))


def _histories(args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.histories import run_histories
    from services.bench.stages_table import histories_rows, histories_table

    _collect_as_served()
    places = run_histories(bundle, events, args.events or STAGES_EVENTS, home, say)
    return Found(places, histories_table(places), histories_rows(places))


def _replicas(args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.replicas import replicas_rows, replicas_table, run_replicas
    from services.bench.rounds import Plan

    runs, duration = effort(args)
    found = run_replicas(bundle, Plan(str(events), runs, duration), home, say)
    return Found(found, replicas_table(found), replicas_rows(found))


def _collect_as_served() -> None:
    """Collect garbage as seldom as serving processes do."""
    from services.lean import COLLECT_AFTER

    gc.set_threshold(*COLLECT_AFTER)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(each) for each in text.split(","))
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError("at least 1 user")
    return sizes


def _peers(args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say) -> Found:
    from rich.console import Group

    from services.bench.peers import PEERS, compare, fit_peers, ztad
    from services.bench.peers_table import peers_rows, peers_table, resources_table
    from services.bench.rounds import Plan

    say("fitting the peers' models")
    runs, duration = effort(args)
    fitted = fit_peers(bundle, events)
    peers = (ztad(bundle), *PEERS)
    plan = Plan(events=str(events), runs=runs, seconds=duration)
    compared = compare(peers, fitted, plan, home, say)
    shown = Group(peers_table(compared, peers), resources_table(compared, peers))
    return Found(compared, shown, peers_rows(compared, peers))


def _queries(args: argparse.Namespace, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.archive import Archive, samples
    from services.bench.places import database, servers
    from services.bench.queries import run_queries
    from services.bench.stream_table import queries_table

    say("scoring what the archive is made of")
    archive = Archive(*samples(bundle, events), args.rows, time.time())
    with servers(["postgres"], say) as found, database(found["postgres"]) as address:
        queries = run_queries(address, archive, QUESTIONS, say)
    return Found(queries, queries_table(queries))
