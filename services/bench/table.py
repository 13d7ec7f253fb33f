"""The table of a bench: what was measured beside the floor and the goal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from services.bench.faults import Fault
from services.bench.rounds import BATCH_EVENTS, MOST_CONNECTIONS, Report, Round, Step


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing; ``floor`` and ``goal`` in its own unit, None where nothing is asked."""

    what: str
    unit: str
    values: Sequence[float]
    more_is_better: bool = False
    floor: float | None = None
    goal: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def worst(self) -> float:
        return min(self.values) if self.more_is_better else max(self.values)

    @property
    def met(self) -> str:
        """How the median stands: ``goal``, ``floor``, ``below`` or nothing to compare."""
        if self._reaches(self.goal):
            return "goal"
        if self._reaches(self.floor):
            return "floor"
        return "" if self.floor is None and self.goal is None else "below"

    def _reaches(self, wanted: float | None) -> bool:
        if wanted is None:
            return False
        return self.median >= wanted if self.more_is_better else self.median <= wanted


def rows(report: Report) -> Iterator[Row]:
    """Everything the table shows, in its order."""
    rounds = report.rounds
    if rounds:
        yield from _single_rows(rounds)
        if report.noop:
            yield _noop_share(rounds, report.noop)
        yield from _other_rows(rounds)
    if report.ready_s is not None:
        yield Row("ready after start", "s", [report.ready_s], floor=25, goal=15)
    if report.idle_memory is not None:
        pss, rss = report.idle_memory.total_pss, report.idle_memory.total_rss
        yield Row("memory of everything, idle (PSS)", "MiB", [pss], floor=3072, goal=2048)
        yield Row("the same as RSS (shared pages counted again)", "MiB", [rss])
    yield Row("errors, degraded, refused or lost", "", [errors(report)], floor=0, goal=0)


def errors(report: Report) -> int:
    """Everything that should be zero: in the answers, and in the gateway's own counters."""
    steps = [step for each in report.rounds for step in (*each.singles.values(), each.batches)]
    answered = sum(step.outcome.errors for step in (*steps, *report.noop))
    names = ("ztad_degraded_batches_total", "ztad_lost_records_total", "ztad_shed_total")
    counted = sum(
        value
        for name, value in report.counters.items()
        if name.startswith(names) or name.startswith("ztad_requests_total 5")
    )
    return answered + int(counted)


def _single_rows(rounds: Sequence[Round]) -> Iterator[Row]:
    for connections in rounds[0].singles:
        outcomes = [each.singles[connections].outcome for each in rounds]
        name = f"single events, {connections} connection{'s' if connections > 1 else ''}"
        wanted = connections == MOST_CONNECTIONS
        rates = [each.requests_per_s for each in outcomes]
        p95 = [each.latency_ms.p95 for each in outcomes]
        p50 = [each.latency_ms.p50 for each in outcomes]
        idle = connections == 1
        yield Row(name, "req/s", rates, more_is_better=True,
                  floor=1500 if wanted else None, goal=2200 if wanted else None)  # fmt: skip
        yield Row("  p50", "ms", p50, floor=12 if idle else None, goal=8 if idle else None)
        yield Row("  p95", "ms", p95, floor=100 if wanted else None, goal=70 if wanted else None)
        if wanted:
            yield Row("  p99", "ms", [each.latency_ms.p99 for each in outcomes])


def _noop_share(rounds: Sequence[Round], noop: Sequence[Step]) -> Row:
    rates = [each.singles[MOST_CONNECTIONS].outcome.requests_per_s for each in rounds]
    shares = [
        rate / max(step.outcome.requests_per_s, 1.0)
        for rate, step in zip(rates, noop, strict=False)
    ]
    return Row(
        f"the same as a share of a no-op ({_rate(noop):,.0f} req/s)", "x", shares,
        more_is_better=True, floor=0.6, goal=0.9,
    )  # fmt: skip


def _other_rows(rounds: Sequence[Round]) -> Iterator[Row]:
    rates = [each.batches.outcome.events_per_s for each in rounds]
    yield Row(f"batches of {BATCH_EVENTS:,}", "events/s", rates, more_is_better=True,
              floor=30_000, goal=80_000)  # fmt: skip
    yield Row("  p95", "ms", [each.batches.outcome.latency_ms.p95 for each in rounds])
    for method in rounds[0].explanations_ms:
        told = [each.explanations_ms[method] for each in rounds]
        yield Row(f"explanation by {method}, p50", "ms", [each.p50 for each in told])
        p95 = [each.p95 for each in told]
        yield Row(f"explanation by {method}, p95", "ms", p95, floor=200, goal=50)


def show(console: Console, report: Report, faults: Sequence[Fault]) -> None:
    """Print everything that was measured."""
    if report.rounds:
        console.print(results(report))
        console.print(_conditions(report))
    if report.idle_memory is not None:
        console.print(memory_table(report))
    if faults:
        console.print(faults_table(faults))


def results(report: Report) -> Table:
    """Measurements beside floor and goal."""
    table = Table(title=f"ztad bench, model {report.model}, {len(report.rounds)} runs")
    for name in ("what", "median", "worst", "unit", "floor", "goal", "met"):
        table.add_column(name, justify="left" if name in ("what", "unit", "met") else "right")
    for row in rows(report):
        limits = [_number(each) for each in (row.floor, row.goal)]
        table.add_row(row.what, _number(row.median), _number(row.worst), row.unit, *limits, row.met)
    return table


def memory_table(report: Report) -> Table:
    """PSS by process."""
    table = Table(title="memory by process, MiB PSS")
    for name in ("process", "idle", "after load"):
        table.add_column(name, justify="left" if name == "process" else "right")
    idle = report.idle_memory.pss if report.idle_memory else {}
    loaded = report.loaded_memory.pss if report.loaded_memory else {}
    for name in sorted({*idle, *loaded}, key=lambda each: -loaded.get(each, 0.0)):
        table.add_row(name, _number(idle.get(name)), _number(loaded.get(name)))
    return table


def faults_table(faults: Sequence[Fault]) -> Table:
    """What callers met after each kill."""
    table = Table(title="kill -9 under 200 requests a second; the 30 s after it")
    table.add_column("killed")
    names = ("200", "degraded", "503", "500", "no answer", "errors", "longest gap s",
             "slowest s", "recovered s", "back s")  # fmt: skip
    for name in names:
        table.add_column(name, justify="right")
    for each in faults:
        table.add_row(each.killed, *_fault_cells(each))
    return table


def _fault_cells(fault: Fault) -> list[str]:
    answers = dict(fault.answers)
    counts = [answers.pop(name, 0) for name in ("200", "200 degraded", "503", "500")]
    return [
        *map(str, counts),
        str(sum(answers.values())),
        f"{fault.error_share:.2%}",
        f"{fault.longest_gap_s:.2f}",
        f"{fault.slowest_s:.2f}",
        f"{fault.recovered_s:.2f}",
        "-" if fault.back_s is None else f"{fault.back_s:.1f}",
    ]


def _conditions(report: Report) -> str:
    """What to know before believing the table."""
    steps = [step for each in report.rounds for step in (*each.singles.values(), each.batches)]
    speeds = [step.mloops_per_s for step in (*steps, *report.noop)]
    foreign = [step.cpu.foreign for step in (*steps, *report.noop)]
    generator = [step.outcome.generator_cores for step in steps]
    alerts = sum(step.outcome.alerts for step in steps)
    events = max(1, sum(step.outcome.events for step in steps))
    return (
        f"{report.cores} cores at {_range(speeds, '.0f')} Mloops/s; other work on the machine took "
        f"{_range(foreign, '.2f')} cores, the load generator {_range(generator, '.2f')}; "
        f"{alerts / events:.1%} of the events raised an alert; "
        f"{report.trace_exports} exports of traces received"
    )


def _rate(steps: Sequence[Step]) -> float:
    return statistics.median(step.outcome.requests_per_s for step in steps)


def _range(values: Sequence[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:{form}}-{high:{form}} (median {middle:{form}})"


def _number(value: float | None) -> str:
    """Few digits: enough to compare, not more than was measured.

    >>> [_number(each) for each in (None, 0, 0.613, 8.21, 123.4, 48120.7)]
    ['-', '0', '0.61', '8.2', '123', '48,121']
    """
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 2 else f"{value:.2f}"
