"""What a scored file amounts to: alerts by address and user, and the most suspicious events."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent

#: Addresses and users listed in a summary.
MOST_LISTED = 10
#: Where output is no terminal and has no width of its own.
PIPE_WIDTH = 120


class Findings:
    """Counts alerts, and keeps the ``most`` events of highest score with their verdicts."""

    def __init__(self, *, most: int = 0) -> None:
        self.alerts = 0
        self.addresses: Counter[str] = Counter()
        self.users: Counter[str] = Counter()
        self._most = most
        self._top: list[tuple[float, int, AuthEvent, Verdict]] = []
        self._order = 0

    def add(self, events: Sequence[AuthEvent], verdicts: Sequence[Verdict]) -> None:
        """Count the verdicts of these events; a repeated event is no second alert."""
        for event, verdict in zip(events, verdicts, strict=True):
            if verdict.duplicate:
                continue
            if verdict.is_anomaly:
                self.alerts += 1
                self.users[event.user_id] += 1
                if event.source_ip:
                    self.addresses[event.source_ip] += 1
            if self._most:
                self._rank(event, verdict)

    def top(self) -> list[tuple[AuthEvent, Verdict]]:
        """The most suspicious first; of equal scores the earlier."""
        return [(event, verdict) for *_, event, verdict in sorted(self._top, reverse=True)]

    def _rank(self, event: AuthEvent, verdict: Verdict) -> None:
        self._order -= 1  # unique, so that events themselves are never compared
        entry = (verdict.score, self._order, event, verdict)
        if len(self._top) < self._most:
            heapq.heappush(self._top, entry)
        elif entry > self._top[0]:
            heapq.heapreplace(self._top, entry)


def console(stream: TextIO) -> Console:
    """Plain and wide in a pipe; texts of events are shown as they are, never as markup."""
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def show_top(findings: Findings, stream: TextIO) -> None:
    """The most suspicious events and why."""
    table = Table(title="most suspicious events", show_lines=True)
    for name in ("severity", "time", "user", "address", "why"):
        table.add_column(name, overflow="fold")
    for event, verdict in findings.top():
        why = "\n".join(reason.text for reason in verdict.reasons)
        stamp = event.timestamp.isoformat(sep=" ", timespec="seconds")
        table.add_row(verdict.severity, stamp, event.user_id, event.source_ip or "", why)
    console(stream).print(table)


def show_summary(findings: Findings, stream: TextIO) -> None:
    """The most alerted addresses and users, with counts."""
    for what, counts in (("addresses", findings.addresses), ("users", findings.users)):
        table = Table(title=f"most alerted {what}")
        table.add_column(what)
        table.add_column("alerts", justify="right")
        for name, count in counts.most_common(MOST_LISTED):
            table.add_row(name, f"{count:,}")
        console(stream).print(table)
