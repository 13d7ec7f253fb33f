"""Progress of a long command: a bar on a terminal, plain lines in a pipe; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINES = 4  # plain lines between start and end, so one for each quarter
LINE_S = 10.0  # seconds between plain lines where the total is unknown


class Advance(Protocol):
    """What `progress` hands out."""

    def advance(self, n: int = 1) -> None:
        """Say that `n` more units are done."""


class _Bar:
    def __init__(self, bar: Progress, description: str, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=total)

    def advance(self, n: int = 1) -> None:
        self._bar.advance(self._task, n)


class _Lines:
    def __init__(self, stream: TextIO, description: str, total: int) -> None:
        self._stream = stream
        self._description = description
        self._total = total
        self._done = 0
        self._quarters = 0

    def advance(self, n: int = 1) -> None:
        self._done += n
        quarters = self._done * LINES // self._total if self._total > 0 else 0
        if self._quarters < quarters < LINES:
            self.say(f"{self._done:,} of {self._total:,}")
        self._quarters = max(self._quarters, quarters)

    @property
    def done(self) -> int:
        return self._done

    def say(self, text: str) -> None:
        print(f"{self._description}: {text}", file=self._stream, flush=True)


@contextmanager
def progress(description: str, total: int, *, stream: TextIO | None = None) -> Iterator[Advance]:
    """Show progress towards `total` units while the block runs.

    On a terminal a bar; elsewhere a line at the start, one for each quarter, one at the end
    (none at the end when the block raised, since then it did not finish).
    """
    out = stream if stream is not None else sys.stderr
    if out.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(file=out)) as bar:
            yield _Bar(bar, description, total)
        return
    lines = _Lines(out, description, total)
    started = time.monotonic()
    lines.say(f"{total:,} to do")
    yield lines
    lines.say(f"{lines.done:,} done in {time.monotonic() - started:.1f} s")


@contextmanager
def counting(description: str, *, stream: TextIO | None = None) -> Iterator[Advance]:
    """Show how much is done of a stream that does not tell its length.

    On a terminal a moving bar; elsewhere a line every ten seconds and one at the end.
    """
    out = stream if stream is not None else sys.stderr
    if out.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}"),
        )
        with Progress(*columns, TimeElapsedColumn(), console=Console(file=out)) as bar:
            yield _Bar(bar, description, None)
        return
    lines = _TimedLines(out, description, 0)
    started = time.monotonic()
    yield lines
    lines.say(f"{lines.done:,} done in {time.monotonic() - started:.1f} s")


@contextmanager
def through(
    description: str, until_s: float, *, stream: TextIO | None = None
) -> Iterator[Callable[[int, float], None]]:
    """Show how far a walk through events in order of time is: the block says how many more it has
    done, and the time it is at, seconds since the epoch. It ends at ``until_s``.

    On a terminal a bar, which begins at the first time; elsewhere a line every ten seconds and one
    at the end.
    """
    out = stream if stream is not None else sys.stderr
    if not out.isatty():
        with counting(description, stream=out) as counted:
            yield lambda n, at_s: counted.advance(n)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:,} events, {task.fields[day]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=out)) as bar:
        task = bar.add_task(description, total=None, events=0, day="")
        first_s: float | None = None
        events = 0

        def advance(n: int, at_s: float) -> None:
            nonlocal first_s, events
            first_s = at_s if first_s is None else first_s
            events += n
            day = f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
            total, done = max(until_s - first_s, 1.0), at_s - first_s
            bar.update(task, total=total, completed=done, events=events, day=day)

        yield advance
        bar.update(task, total=1.0, completed=1.0)


class _TimedLines(_Lines):
    _last = 0.0

    def advance(self, n: int = 1) -> None:
        self._done += n
        now = time.monotonic()
        self._last = self._last or now
        if now - self._last >= LINE_S:
            self._last = now
            self.say(f"{self._done:,} so far")


@contextmanager
def stages(
    description: str, total: int, *, stream: TextIO | None = None
) -> Iterator[Callable[[str], None]]:
    """Show which of ``total`` named stages runs: a bar on a terminal, else a line for each."""
    out = stream if stream is not None else sys.stderr
    if not out.isatty():
        yield lambda name: print(f"{description}: {name}", file=out, flush=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=out)) as bar:
        task = bar.add_task(description, total=total + 1)

        def enter(name: str) -> None:
            bar.update(task, advance=1, description=f"{description}: {name}")

        yield enter
        bar.update(task, completed=total + 1)
