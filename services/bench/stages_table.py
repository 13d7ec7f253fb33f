"""What each stage costs as tables, and as rows to keep: alone, as users grow, by the place of the
history."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from services.bench.histories import Placed
from services.bench.rows import Row
from services.bench.stages import BATCH, Staged
from services.bench.users import Grown


def stages_table(staged: Staged) -> Table:
    """One line a stage, and their sum."""
    table = Table(
        title=f"processor time in one process, {staged.events:,} events in batches of {BATCH:,}; "
        f"history {_compiled(staged)}; evidence for {staged.evidence:.0%}"
    )
    table.add_column("stage")
    table.add_column("us an event", justify="right")
    for stage, us in staged.us.items():
        table.add_row(stage, f"{us:.1f}")
    table.add_row("all", f"{staged.total_us:.1f}", style="bold")
    return table


def users_table(sizes: Sequence[Grown]) -> Table:
    """A column a size; the last line is throughput beside that of the first size."""
    first = sizes[0]
    table = Table(
        title=f"processor time an event in one process, us, as users grow; history "
        f"{_compiled(first.staged)}; {first.known:.0f} events of each user came before"
    )
    table.add_column("users")
    for each in sizes:
        table.add_column(f"{each.users:,}", justify="right")
    for stage in first.staged.us:
        table.add_row(stage, *(f"{each.staged.us[stage]:.1f}" for each in sizes))
    lines = {
        "all": [f"{each.staged.total_us:.1f}" for each in sizes],
        "events/s of a core": [f"{each.events_per_s:,.0f}" for each in sizes],
        "beside the first": [
            f"{each.events_per_s / first.events_per_s - 1:+.0%}" for each in sizes
        ],
        "evidence for": [f"{each.staged.evidence:.0%}" for each in sizes],
        "events measured": [f"{each.staged.events:,}" for each in sizes],
        "history, KiB a user": [f"{each.history_bytes / 1024:.1f}" for each in sizes],
        "process, MiB RSS": [f"{each.rss_mib:,.0f}" for each in sizes],
        "machine, Mloops/s": [f"{each.mloops_per_s:.0f}" for each in sizes],
    }
    for name, cells in lines.items():
        table.add_row(name, *cells, style="bold" if name == "all" else "")
    return table


def histories_table(places: Sequence[Placed]) -> Table:
    """A column a place. What waits for Redis takes time but no processor; there, what is to be
    learned goes along with the next batch that is observed."""
    first = places[0].staged
    table = Table(
        title=f"us an event in one process by place of the history; {first.events:,} events in "
        f"batches of {BATCH:,}; history {_compiled(first)}"
    )
    table.add_column("history in")
    for each in places:
        table.add_column(each.place, justify="right")
    for stage in first.us:
        table.add_row(stage, *(f"{each.staged.us[stage]:.1f}" for each in places))
    table.add_row("all", *(f"{each.staged.total_us:.1f}" for each in places), style="bold")
    table.add_row("by the clock", *(f"{each.staged.wall_us:.1f}" for each in places))
    return table


def stage_rows(what: str, staged: Staged) -> list[Row]:
    """Every stage and their sum, to be compared with another release's."""
    us = {**staged.us, "all": staged.total_us, "by the clock": staged.wall_us}
    return [Row(f"{what}: {stage}", "us an event", [value]) for stage, value in us.items()]


def users_rows(sizes: Sequence[Grown]) -> list[Row]:
    """The same of every size, and what a user holds."""
    found = []
    for each in sizes:
        found += stage_rows(f"{each.users:,} users", each.staged)
        found.append(Row(f"{each.users:,} users: history", "bytes a user", [each.history_bytes]))
        found.append(Row(f"{each.users:,} users: process", "MiB RSS", [each.rss_mib]))
    return found


def histories_rows(places: Sequence[Placed]) -> list[Row]:
    """The same of every place."""
    return [row for each in places for row in stage_rows(each.place, each.staged)]


def _compiled(staged: Staged) -> str:
    return "compiled" if staged.compiled else "not compiled"
