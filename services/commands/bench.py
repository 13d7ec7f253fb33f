"""``ztad bench``: measure the whole graph on this machine, beside the goals it was built for."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services.commands.bench_others import (
    WIDTH,
    add_other_benches,
    effort,
    is_other,
    measure_others,
    only_what_is_kept,
    positive,
    seconds,
)
from services.settings import load

if TYPE_CHECKING:
    from rich.console import Console

    from services.bench.faults import Fault
    from services.bench.machine import Memory
    from services.bench.rounds import Bench, Plan, Report, Step
    from services.bench.subject import Subject

SUMMARY = "measure latency, throughput and memory of the whole graph on this machine"
SCENARIO, SEED = "enterprise", 7
#: Events the model is trained on, and those of them that traffic is made of.
TRAINING_EVENTS, TRAFFIC_EVENTS = 40_000, 20_000
#: What asks for traces to be exported: a share of them is, as shipped.
TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("bench", help=SUMMARY, description=SUMMARY)
    parser.add_argument("--bundle", type=Path, help="default: a small model, trained once and kept")
    parser.add_argument("--url", help="a graph that runs already, on this machine")
    parser.add_argument("--runs", type=positive, default=5, help="how often (default 5)")
    parser.add_argument("--seconds", type=seconds, default=8.0, help="of each load (default 8)")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write a report there, and compare with the last"
    )
    parser.add_argument("--quick", action="store_true", help="one run of two seconds each")
    add_other_benches(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when it was measured, whatever the numbers are."""
    from rich.console import Console

    from models.manifest import BundleError
    from services.bench.rounds import Plan
    from services.bench.subject import BenchError
    from services.bench.table import show

    home = load().home / "bench"
    try:
        only_what_is_kept(args)
        events = _traffic(home / "data")
        bundle = args.bundle or (Path() if args.url else _trained(home))
        if is_other(args):
            return measure_others(args, home, bundle, events, _say)
        runs, duration = effort(args)
        plan = Plan(events=str(events), runs=runs, seconds=duration)
        report, faults = _measure(args, home, bundle, plan)
    except (BenchError, BundleError) as error:
        print(f"ztad bench: {error}", file=sys.stderr)
        return 2
    if args.out is not None:
        _write(args.out, report, faults)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    show(console, report, faults)
    if args.keep is not None and report.rounds:
        _keep(args.keep, report, console)
    return 0


def _measure(
    args: argparse.Namespace, home: Path, bundle: Path, plan: Plan
) -> tuple[Report, list[Fault]]:
    """The graph first, then the no-op it is compared with; never both at once."""
    from services.bench.faults import run_faults
    from services.bench.rounds import Bench
    from services.bench.sink import TraceSink
    from services.bench.subject import BenchError

    started = datetime.now(UTC).isoformat(timespec="seconds")
    with TraceSink() as sink:
        with _subject(args, home, bundle, sink.url) as subject:
            bench = Bench(subject, plan, _say)
            report = _report(bench, started, rounds=not args.faults)
            faults = run_faults(bench) if args.faults else []
        report.trace_exports = sink.exports
        if not (args.url or args.faults):
            try:
                report.noop = _noop(home, plan, sink.url)
            except BenchError as error:  # the graph's numbers stand without their yardstick
                _say(str(error))
    return report, faults


def _report(bench: Bench, started: str, *, rounds: bool) -> Report:
    from services.bench.rounds import Report

    subject = bench.subject
    _say(f"ready after {subject.ready_s:.1f} s" if subject.ready_s else f"found {subject.url}")
    with subject.client() as client:
        models = client.get("/v1/models").raise_for_status().json()
    report = Report(
        started=started,
        model=str(models["variants"]["champion"]["version"]),
        cores=os.cpu_count() or 1,
        plan=bench.plan,
        ready_s=subject.ready_s,
        idle_memory=_memory(subject),
    )
    before = subject.counters()
    if rounds:
        for number in range(1, bench.plan.runs + 1):
            _say(f"run {number} of {bench.plan.runs}")
            report.rounds.append(bench.round(whole=number <= bench.plan.rung_runs))
    report.loaded_memory = _memory(subject)
    report.counters = {
        name: value - before.get(name, 0.0) for name, value in subject.counters().items()
    }
    return report


def _noop(home: Path, plan: Plan, traces: str) -> list[Step]:
    """A no-op behind the same ingress, started and loaded in the same way."""
    from services.bench.rounds import Bench
    from services.bench.subject import start
    from services.node import free_ports

    port = free_ports(1)[0]
    _say("starting the no-op")
    command = ["-m", "services.bench.node", "--port", str(port)]
    subject = start(command, home, port, {TRACES: traces}, home / "noop.log")
    try:
        bench = Bench(subject, plan, _say)
        return [bench.noop() for _ in range(plan.runs)]
    finally:
        subject.stop()


@contextmanager
def _subject(args: argparse.Namespace, home: Path, bundle: Path, traces: str) -> Iterator[Subject]:
    """The graph at ``--url``, or one started for the occasion with the shipped settings."""
    from services.bench.subject import running, start
    from services.node import free_ports

    if args.url:
        keys = load().api_keys
        yield running(args.url, load().home, keys[0] if keys else "")
        return
    port = args.port or free_ports(1)[0]
    # Nothing kept by an earlier run makes a later one slower, or fills the disk.
    kept = home / f"graph-{port}"
    shutil.rmtree(kept, ignore_errors=True)
    command = ["-m", "services.cli", "serve", "--auth", "none", "--bundle", str(bundle)]
    command += ["--port", str(port), "--state-dir", str(kept / "state")]
    command += ["--store-dir", str(kept / "store")]
    _say(f"starting the graph on port {port}")
    try:
        subject = start(command, home, port, {TRACES: traces}, home / "serve.log")
        try:
            yield subject
        finally:
            subject.stop()
    finally:
        shutil.rmtree(kept, ignore_errors=True)


def _traffic(data: Path) -> Path:
    """Events to send, generated once."""
    events = data / "traffic.ndjson"
    if not events.exists():
        _say(f"generating {TRAINING_EVENTS:,} events")
        _ztad("generate", "--scenario", SCENARIO, "--events", str(TRAINING_EVENTS),
              "--seed", str(SEED), "--out", str(data))  # fmt: skip
        _make_traffic(data / "events.csv", events)
    return events


def _trained(home: Path) -> Path:
    """A model trained on the events that are sent; made once, and again after a change."""
    from ensemble.scorer import ensemble_of, history_of, load_bundle
    from models.manifest import BundleError
    from preprocessing.history import HistoryError

    bundle = home / "bundle"
    try:
        loaded = load_bundle(bundle)
        ensemble_of(loaded)
        history_of(loaded)
    except (BundleError, HistoryError):
        _say("training a model; it is kept for the next time")
        shutil.rmtree(bundle, ignore_errors=True)
        events = str(home / "data" / "events.csv")
        _ztad("train", "--events", events, "--out", str(bundle), "--no-register")
    return bundle


def _make_traffic(source: Path, target: Path) -> None:
    """The last events of a CSV file as NDJSON."""
    from preprocessing.event import AuthEvent, encode_event
    from preprocessing.sources import SourceOptions, open_events
    from services.bench.traffic import save

    items = open_events(source, options=SourceOptions(now_s=time.time()))
    found = [each for each in items if isinstance(each, AuthEvent)]
    save(target, map(encode_event, found[-TRAFFIC_EVENTS:]))


def _ztad(*words: str) -> None:
    """Run another command in a process of its own: training would leave its memory behind."""
    from services.bench.subject import BenchError

    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *words], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise BenchError(f"'ztad {words[0]}' failed (exit {done.returncode})")


def _memory(subject: Subject) -> Memory | None:
    from services.bench.machine import memory

    processes = subject.processes()
    return memory(processes) if processes else None


def _write(path: Path, report: Report, faults: list[Fault]) -> None:
    import msgspec

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode({"bench": report, "faults": faults})))


def _keep(folder: Path, report: Report, console: Console) -> None:
    from services.bench.kept import keep_and_compare, kept
    from services.bench.rows import all_rows, steps

    speed = statistics.median(step.mloops_per_s for step in steps(report))
    made = kept("graph", report.started, speed, all_rows(report), report)
    _say(f"kept as {keep_and_compare(folder, made, console)}")


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
