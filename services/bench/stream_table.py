"""The tables of the benches that need servers."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from services.bench.queries import GOAL_MS, Queries
from services.bench.stream_faults import Difference, Disturbed
from services.bench.streams import Streamed

#: Events a second from a topic to a store: what is asked for at least, and what is wanted.
FLOOR_PER_S, AIM_PER_S = 15_000, 40_000


def streamed_table(runs: Sequence[Streamed]) -> Table:
    """What was sustained, how late it was, and whether everything is there once."""
    table = Table(title=f"from a topic to a store; floor {FLOOR_PER_S:,}/s, aim {AIM_PER_S:,}/s")
    names = ("events", "events/s", "paced at/s", "lag p50 ms", "lag p99 ms", "sent", "stored",
             "dead letters", "duplicated", "lost")  # fmt: skip
    _columns(table, "store", names)
    for each in runs:
        count = each.account
        table.add_row(
            each.store, f"{each.events:,}", f"{each.events_per_s:,.0f}", f"{each.paced_per_s:,.0f}",
            f"{each.lag_ms.p50:,.0f}", f"{each.lag_ms.p99:,.0f}", f"{count.sent:,}",
            f"{count.stored:,}", f"{count.dead:,}", f"{count.duplicated:,}", f"{count.lost:,}",
        )  # fmt: skip
    return table


def disturbed_table(runs: Sequence[Disturbed]) -> Table:
    """One line for each fault; what fits is in exactly one place."""
    table = Table(title="faults between a topic and a store")
    names = ("sent", "scored", "stored", "dead letters", "duplicated", "lost", "fits", "behind s",
             "probes apart", "p99", "most", "flipped")  # fmt: skip
    _columns(table, "fault", names)
    for each in runs:
        if each.account is None:
            table.add_row(each.what, each.failed)
            continue
        count = each.account
        table.add_row(
            each.what, f"{count.sent:,}", f"{count.scored:,}", f"{count.stored:,}",
            f"{count.dead:,}", f"{count.duplicated:,}", f"{count.lost:,}",
            "yes" if count.fits else "NO", f"{each.behind_s:.1f}", *_apart(each.difference),
        )  # fmt: skip
    return table


def queries_table(found: Queries) -> Table:
    """How long answers took, beside what is asked for."""
    table = Table(
        title=f"questions to a PostgreSQL with {found.rows:,} verdicts "
        f"({found.bytes / 2**30:.1f} GiB, filled in {found.fill_s:,.0f} s); p95 floor "
        f"{GOAL_MS:.0f} ms"
    )
    names = ("asked", "p50 ms", "p95 ms", "most ms", "verdicts, mean", "most", "met")
    _columns(table, "question", names)
    for each in found.questions:
        took = each.latency_ms
        table.add_row(
            each.what, str(each.asked), f"{took.p50:.1f}", f"{took.p95:.1f}", f"{took.max:.1f}",
            f"{each.mean_rows:.0f}", str(each.most_rows), "yes" if took.p95 < GOAL_MS else "NO",
        )  # fmt: skip
    return table


def _apart(difference: Difference | None) -> tuple[str, ...]:
    if difference is None:
        return ("-",) * 4
    return (f"{difference.different} of {difference.probes}", f"{difference.p99:.4f}",
            f"{difference.most:.4f}", str(difference.flipped))  # fmt: skip


def _columns(table: Table, first: str, names: Sequence[str]) -> None:
    table.add_column(first)
    for name in names:
        table.add_column(name, justify="right")
