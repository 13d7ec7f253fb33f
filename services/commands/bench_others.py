"""Benches of ``ztad bench`` that are not of the graph over HTTP. PostgreSQL, Redis and Kafka are
those of ``make backends``, and started where they do not run."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from services.bench.streams import StoreKind

STREAM_EVENTS, FAULT_EVENTS, QUERY_ROWS, QUESTIONS = 1_000_000, 60_000, 10_000_000, 300
STAGES_EVENTS = 100_000
QUICK_RUNS, QUICK_SECONDS = 1, 2.0
#: Columns of the tables where no terminal says.
WIDTH = 130

Say = Callable[[str], None]
#: What was found, and what to print of it.
Found = tuple[Any, "RenderableType"]


def add_other_benches(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    kinds = parser.add_mutually_exclusive_group()
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
    parser.add_argument(
        "--events",
        type=int,
        help="with --stream (1,000,000), --stream-faults (60,000) and --stages (100,000)",
    )
    parser.add_argument(
        "--store", choices=("sqlite", "postgres"), help="with --stream; default: both in turn"
    )
    parser.add_argument(
        "--rows", type=int, default=QUERY_ROWS, help="with --queries (default 10,000,000)"
    )


def is_other(args: argparse.Namespace) -> bool:
    """Whether one of these benches is asked for."""
    return bool(args.stream or args.stream_faults or args.queries or args.stages or args.peers)


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
        found, table = _stream(args, home, bundle, events, say)
    elif args.stages:
        found, table = _stages(args, bundle, events, say)
    elif args.stream_faults:
        found, table = _stream_faults(args, home, bundle, events, say)
    elif args.peers:
        found, table = _peers(args, home, bundle, events, say)
    else:
        found, table = _queries(args, bundle, events, say)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
    return 0


def _stream(args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.stream_table import streamed_table
    from services.bench.streams import run_stream

    kinds: tuple[StoreKind, ...] = (args.store,) if args.store else ("sqlite", "postgres")
    count = args.events or STREAM_EVENTS
    runs = [run_stream(home / "streams", bundle, events, kind, count, say) for kind in kinds]
    return runs, streamed_table(runs)


def _stream_faults(
    args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say
) -> Found:
    from services.bench.stream_faults import run_stream_faults
    from services.bench.stream_table import disturbed_table

    count = args.events or FAULT_EVENTS
    runs = run_stream_faults(home / "streams", bundle, events, count, say)
    return runs, disturbed_table(runs)


def _stages(args: argparse.Namespace, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.stages import run_stages
    from services.bench.stages_table import stages_table

    say("scoring in one process")
    staged = run_stages(bundle, events, args.events or STAGES_EVENTS)
    return staged, stages_table(staged)


def _peers(args: argparse.Namespace, home: Path, bundle: Path, events: Path, say: Say) -> Found:
    from rich.console import Group

    from services.bench.peers import PEERS, compare, fit_peers, ztad
    from services.bench.peers_table import peers_table, resources_table
    from services.bench.rounds import Plan

    say("fitting the peers' models")
    runs, seconds = effort(args)
    fitted = fit_peers(bundle, events)
    peers = (ztad(bundle, home), *PEERS)
    plan = Plan(events=str(events), runs=runs, seconds=seconds)
    compared = compare(peers, fitted, plan, home, say)
    return compared, Group(peers_table(compared, peers), resources_table(compared, peers))


def _queries(args: argparse.Namespace, bundle: Path, events: Path, say: Say) -> Found:
    from services.bench.archive import Archive, samples
    from services.bench.places import database, servers
    from services.bench.queries import run_queries
    from services.bench.stream_table import queries_table

    say("scoring what the archive is made of")
    archive = Archive(*samples(bundle, events), args.rows, time.time())
    with servers(["postgres"], say) as found, database(found["postgres"]) as address:
        queries = run_queries(address, archive, QUESTIONS, say)
    return queries, queries_table(queries)
