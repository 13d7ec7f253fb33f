"""The table of what each stage costs."""

from __future__ import annotations

from rich.table import Table

from services.bench.stages import BATCH, Staged


def stages_table(staged: Staged) -> Table:
    """One line a stage, and their sum."""
    history = "compiled" if staged.compiled else "not compiled"
    table = Table(
        title=f"processor time in one process, {staged.events:,} events in batches of {BATCH:,}; "
        f"history {history}; evidence for {staged.evidence:.0%}"
    )
    table.add_column("stage")
    table.add_column("us an event", justify="right")
    for stage, us in staged.us.items():
        table.add_row(stage, f"{us:.1f}")
    table.add_row("all", f"{staged.total_us:.1f}", style="bold")
    return table
