"""Trials of a search as they end: a table of the best on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from tuning.journal import Trial

#: Best trials shown, and after how many others a plain line is written.
SHOWN, EVERY = 8, 25


@contextmanager
def shown(
    before: list[Trial], most: int, *, stream: TextIO | None = None
) -> Iterator[Callable[[Trial], None]]:
    """What to call with each trial that ends; ``before`` are those of an earlier process."""
    out = stream if stream is not None else sys.stderr
    seen = _Seen(before, most)
    if not out.isatty():
        if before:
            print(f"search: resumed, trials on record: {len(before):,}", file=out, flush=True)
        yield lambda trial: seen.line(trial, out)
        print(f"search: {seen.counted}", file=out, flush=True)
        return
    with Live(seen.table(), console=Console(file=out), refresh_per_second=4) as live:

        def tell(trial: Trial) -> None:
            seen.add(trial)
            live.update(seen.table())

        yield tell


class _Seen:
    def __init__(self, before: list[Trial], most: int) -> None:
        self._trials = list(before)
        self._most = most

    def add(self, trial: Trial) -> bool:
        """Whether it is the best so far."""
        from tuning.journal import best

        self._trials.append(trial)
        return best(self._trials) is trial

    def line(self, trial: Trial, out: TextIO) -> None:
        if self.add(trial) or len(self._trials) % EVERY == 0:
            print(f"search: {_told(trial)}; {self.counted}", file=out, flush=True)

    @property
    def counted(self) -> str:
        complete = sum(trial.complete for trial in self._trials)
        failed = sum(bool(trial.problem) for trial in self._trials)
        count = len(self._trials)
        text = f"{count:,} {'trial' if count == 1 else 'trials'}, {complete:,} to their end"
        return f"{text}, {failed:,} failed" if failed else text

    def table(self) -> Table:
        minutes = self._trials[-1].elapsed_s / 60.0 if self._trials else 0.0
        table = Table(title=f"{self.counted} of at most {self._most:,}, {minutes:.1f} min")
        for name in ("trial", "stage"):
            table.add_column(name)
        for name in ("objective", "recall", "false alerts per 1,000 user-days"):
            table.add_column(name, justify="right")
        complete = [trial for trial in self._trials if trial.complete]
        for trial in sorted(complete, key=lambda trial: -trial.objective)[:SHOWN]:
            metrics = trial.metrics
            figures = (f"{metrics.get(name, 0.0):.3f}" for name in ("objective", "recall"))
            alerts = f"{metrics.get('alerts_per_1000', 0.0):.1f}"
            table.add_row(str(trial.number), trial.stage, *figures, alerts)
        return table


def _told(trial: Trial) -> str:
    return f"trial {trial.number} ({trial.stage}): objective {trial.objective:.3f}"
