"""Throughput of the whole graph by replicas, and by the place of the history they need."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from ensemble.scorer import load_bundle
from services.app import deployment_name
from services.bench.machine import memory
from services.bench.places import servers
from services.bench.rounds import (
    ASKED_BATCH,
    BATCH_CONNECTIONS,
    NOOP_CONNECTIONS,
    Bench,
    Plan,
    Say,
    Step,
)
from services.bench.rows import Row
from services.bench.subject import Subject, start
from services.node import free_ports


class Setup(msgspec.Struct, frozen=True):
    """A graph: whether its history is in Redis or in a folder, and what there are two of."""

    name: str
    shared: bool = False
    doubled: tuple[str, ...] = ()


class Scaled(msgspec.Struct, frozen=True):
    """What a setup reached in every run; ``pss_mib`` of all its processes after load."""

    setup: Setup
    singles: list[Step]
    batches: list[Step]
    pss_mib: float

    @property
    def rows(self) -> list[Row]:
        """What is compared, between setups and with the last report."""
        singles = [each.outcome for each in self.singles]
        batches = [each.outcome for each in self.batches]
        speeds = [each.mloops_per_s for each in (*self.singles, *self.batches)]
        return [
            Row(f"single events, {NOOP_CONNECTIONS} connections", "req/s",
                [each.requests_per_s for each in singles], more_is_better=True),
            Row("their p95", "ms", [each.latency_ms.p95 for each in singles]),
            Row(f"batches of {ASKED_BATCH:,}", "events/s",
                [each.events_per_s for each in batches], more_is_better=True),
            Row("errors", "", [sum(each.errors for each in (*singles, *batches))]),
            Row("memory (PSS)", "MiB", [self.pss_mib]),
            Row("machine", "Mloops/s", speeds, more_is_better=True),
        ]  # fmt: skip


def setups(bundle: Path) -> tuple[Setup, ...]:
    """One of everything, then two of what can be doubled."""
    detectors = tuple(map(deployment_name, load_bundle(bundle).detectors))
    return (
        Setup("one of each, history in a folder"),
        Setup("two of each detector", doubled=detectors),
        Setup("history in Redis", shared=True),
        Setup("history in Redis, two Preprocessors", shared=True, doubled=("Preprocessor",)),
    )


def run_replicas(bundle: Path, plan: Plan, home: Path, say: Say) -> list[Scaled]:
    """Every setup, one after the other. Raises ``services.bench.subject.BenchError``."""
    found = []
    with servers(["redis"], say) as running:
        for setup in setups(bundle):
            say(f"starting: {setup.name}")
            with _started(setup, bundle, home, running["redis"].address) as subject:
                found.append(_measured(setup, Bench(subject, plan, say)))
    return found


def _measured(setup: Setup, bench: Bench) -> Scaled:
    singles, batches = [], []
    # Not counted: first requests, and people whom nobody has seen yet.
    bench.step(bench.job(BATCH_CONNECTIONS, batch=ASKED_BATCH))
    for _ in range(bench.plan.runs):
        singles.append(bench.step(bench.job(NOOP_CONNECTIONS)))
        batches.append(bench.step(bench.job(BATCH_CONNECTIONS, batch=ASKED_BATCH)))
        told, whole = singles[-1].outcome, batches[-1].outcome
        bench.say(
            f"{setup.name}: {told.requests_per_s:,.0f} req/s, p95 {told.latency_ms.p95:.0f} ms; "
            f"{whole.events_per_s:,.0f} events/s; {told.errors + whole.errors} errors"
        )
    return Scaled(setup, singles, batches, memory(bench.subject.processes()).total_pss)


@contextmanager
def _started(setup: Setup, bundle: Path, home: Path, redis: str) -> Iterator[Subject]:
    folder = home / f"replicas-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    told = folder / "arguments.json"
    told.write_text(json.dumps(arguments(setup, bundle, folder, redis)))
    port = free_ports(1)[0]
    command = ["-m", "services.bench.node", "--port", str(port), "--arguments", str(told)]
    try:
        subject = start(command, home, port, {}, home / "replicas.log")
        try:
            yield subject
        finally:
            subject.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def arguments(setup: Setup, bundle: Path, folder: Path, redis: str) -> dict[str, Any]:
    """``AppArgs`` of a setup; what it keeps is in the folder, or under a name of its own."""
    return {
        "bundle": str(bundle.resolve()),
        "auth": "none",
        "state_dir": str(folder / "state"),
        "history": f"{redis}?name={folder.name}" if setup.shared else None,
        "recorder": {"store_dir": str(folder / "store")},
        "deployments": {name: {"num_replicas": 2} for name in setup.doubled},
    }


def replicas_table(found: Sequence[Scaled]) -> Table:
    """One line a setup: medians."""
    table = Table(title=f"the whole graph by replicas, medians of {len(found[0].singles)} runs")
    table.add_column("setup")
    for row in found[0].rows:
        table.add_column(f"{row.what} {row.unit}".strip(), justify="right")
    for each in found:
        table.add_row(each.setup.name, *(f"{row.median:,.0f}" for row in each.rows))
    return table


def replicas_rows(found: Sequence[Scaled]) -> list[Row]:
    """The same, to be compared with another release's."""
    return [
        Row(f"{each.setup.name}: {row.what}", row.unit, row.values, row.more_is_better)
        for each in found
        for row in each.rows
    ]
