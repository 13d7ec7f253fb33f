"""The table of a bench: what was measured beside the floor and the goal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from services.bench.faults import AFTER_S, RATE, SLOW_S, Fault
from services.bench.machine import Memory
from services.bench.rounds import BATCH_CONNECTIONS, Report
from services.bench.rows import rows, rungs, steps


def show(console: Console, report: Report, faults: Sequence[Fault]) -> None:
    """Print everything that was measured."""
    if report.rounds:
        console.print(results(report))
        console.print(ladder_table(report))
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
        limits = [number(each) for each in (row.floor, row.goal)]
        table.add_row(row.what, number(row.median), number(row.worst), row.unit, *limits, row.met)
    return table


def ladder_table(report: Report) -> Table:
    """Medians of every load, and all of its errors."""
    table = Table(title=f"every load, medians; batches over {BATCH_CONNECTIONS} connections")
    names = ("load", "runs", "rate", "unit", "p50 ms", "p95 ms", "p99 ms", "errors", "generator")
    for name in names:
        table.add_column(name, justify="left" if name in ("load", "unit") else "right")
    for rung in rungs(report):
        told = [number(statistics.median(rung.latencies(name))) for name in ("p50", "p95", "p99")]
        cores = statistics.median([each.outcome.generator_cores for each in rung.steps])
        rate = number(statistics.median(rung.rates))
        runs, wrong = str(len(rung.steps)), str(rung.errors)
        table.add_row(rung.what, runs, rate, rung.unit, *told, wrong, f"{cores:.0%}")
    return table


def memory_table(report: Report) -> Table:
    """PSS and RSS by process."""
    idle = report.idle_memory or Memory({}, {})
    loaded = report.loaded_memory or Memory({}, {})
    table = Table(title="memory by process, MiB; RSS counts shared pages again")
    for name in ("process", "PSS idle", "PSS after load", "RSS idle", "RSS after load"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for name in sorted({*idle.pss, *loaded.pss}, key=lambda each: -loaded.pss.get(each, 0.0)):
        found = (idle.pss, loaded.pss, idle.rss, loaded.rss)
        table.add_row(name, *(number(each.get(name)) for each in found))
    return table


def faults_table(faults: Sequence[Fault]) -> Table:
    """What callers met after each kill."""
    table = Table(
        title=f"kill -9 under {RATE:.0f} requests a second; the {AFTER_S:.0f} s after it",
        caption="errors: no verdict; longest gap: without a 200; recovered: the last request that "
        f"failed, took over {SLOW_S:g} s or lacked a detector had ended; back: the killed part did "
        f"its own work again, - not within {AFTER_S:.0f} s",
    )
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
    graph = steps(report)
    speeds = [step.mloops_per_s for step in (*graph, *report.noop)]
    foreign = [step.cpu.foreign for step in (*graph, *report.noop)]
    generator = [step.outcome.generator_cores for step in graph]
    alerts = sum(step.outcome.alerts for step in graph)
    events = max(1, sum(step.outcome.events for step in graph))
    return (
        f"{report.cores} cores at {_range(speeds, '.0f')} Mloops/s; other work on the machine took "
        f"{_range(foreign, '.2f')} cores, the load generator {_range(generator, '.2f')}; "
        f"{alerts / events:.1%} of the events raised an alert; "
        f"{report.trace_exports} exports of traces received"
    )


def _range(values: Sequence[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:{form}}-{high:{form}} (median {middle:{form}})"


def number(value: float | None) -> str:
    """Few digits: enough to compare, not more than was measured.

    >>> [number(each) for each in (None, 0, 0.613, 8.21, 123.4, 48120.7)]
    ['-', '0', '0.61', '8.2', '123', '48,121']
    """
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 2 else f"{value:.2f}"
