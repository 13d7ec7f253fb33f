"""What a bench found as rows: measured values beside what is asked for."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.bench.rounds import (
    ASKED_BATCH,
    ASKED_CONNECTIONS,
    PACED_SHARE,
    Report,
    Round,
    Step,
)

_ONE, _MOST = min(ASKED_CONNECTIONS), max(ASKED_CONNECTIONS)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing; ``floor`` and ``goal`` in its own unit, None where nothing is asked.

    ``what`` is a row's name from one release to the next.
    """

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


@dataclass(frozen=True, slots=True)
class Rung:
    """One load of the ladder, each time it was run. ``whole``: its events are counted, not its
    requests."""

    what: str
    steps: Sequence[Step]
    whole: bool = False

    @property
    def unit(self) -> str:
        return "events/s" if self.whole else "req/s"

    @property
    def rates(self) -> list[float]:
        found = [each.outcome for each in self.steps]
        return [each.events_per_s if self.whole else each.requests_per_s for each in found]

    @property
    def errors(self) -> int:
        """Of all runs together."""
        return sum(each.outcome.errors for each in self.steps)

    def latencies(self, name: str) -> list[float]:
        """Milliseconds at a percentile, as ``Latency`` names it."""
        return [float(getattr(each.outcome.latency_ms, name)) for each in self.steps]


def rungs(report: Report) -> Iterator[Rung]:
    """Every load that was run, in the order of the table."""
    rounds = report.rounds
    for connections in sorted({each for found in rounds for each in found.singles}):
        steps = [found.singles[connections] for found in rounds if connections in found.singles]
        yield Rung(single(connections), steps)
    paced = [found.paced for found in rounds if found.paced is not None]
    if paced:
        yield Rung(PACED, paced)
    for events in sorted({each for found in rounds for each in found.batches}):
        steps = [found.batches[events] for found in rounds if events in found.batches]
        yield Rung(f"batches of {events:,}", steps, whole=True)
    if report.noop:
        yield Rung(f"no-op, {_MOST} connections", report.noop)


#: What the open loop is called: its rate is a share of what the closed one reached.
PACED = f"single events, open loop at {PACED_SHARE:.0%} of that"


def single(connections: int) -> str:
    """What a closed loop of single events is called."""
    return f"single events, {connections} connection{'s' if connections > 1 else ''}"


def rows(report: Report) -> Iterator[Row]:
    """Everything that something is asked of, in the order of the table."""
    rounds = report.rounds
    if rounds:
        yield from _single_rows(rounds)
        yield from _paced_rows(rounds)
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


def all_rows(report: Report) -> list[Row]:
    """The ladder's and those that something is asked of, each name once: for a comparison."""
    found = {row.what: row for row in (*_ladder_rows(report), *rows(report))}
    return list(found.values())


def _ladder_rows(report: Report) -> Iterator[Row]:
    for rung in rungs(report):
        yield Row(rung.what, rung.unit, rung.rates, more_is_better=True)
        for name in ("p50", "p95", "p99"):
            yield Row(f"{rung.what}, {name}", "ms", rung.latencies(name))


def steps(report: Report) -> list[Step]:
    """Every load run of the graph, without the no-op's."""
    return [
        step
        for found in report.rounds
        for step in (
            *found.singles.values(),
            *found.batches.values(),
            *([found.paced] if found.paced else []),
        )
    ]


def errors(report: Report) -> int:
    """Everything that should be zero: in the answers, and in the gateway's own counters."""
    answered = sum(step.outcome.errors for step in (*steps(report), *report.noop))
    names = ("ztad_degraded_batches_total", "ztad_lost_records_total", "ztad_shed_total")
    counted = sum(
        value
        for name, value in report.counters.items()
        if name.startswith(names) or name.startswith("ztad_requests_total 5")
    )
    return answered + int(counted)


def _single_rows(rounds: Sequence[Round]) -> Iterator[Row]:
    idle = [each.singles[_ONE].outcome for each in rounds]
    yield Row("one event, otherwise idle, p50", "ms", [each.latency_ms.p50 for each in idle],
              floor=12, goal=8)  # fmt: skip
    most = [each.singles[_MOST].outcome for each in rounds]
    yield Row(single(_MOST), "req/s", [each.requests_per_s for each in most],
              more_is_better=True, floor=1500, goal=2200)  # fmt: skip
    yield Row(f"{single(_MOST)}, p95", "ms", [each.latency_ms.p95 for each in most],
              floor=100, goal=70)  # fmt: skip


def _paced_rows(rounds: Sequence[Round]) -> Iterator[Row]:
    told = [each.paced.outcome.latency_ms for each in rounds if each.paced is not None]
    if told:
        for name in ("p50", "p95", "p99"):
            yield Row(f"{PACED}, {name}", "ms", [getattr(each, name) for each in told])


def _noop_share(rounds: Sequence[Round], noop: Sequence[Step]) -> Row:
    rates = [each.singles[_MOST].outcome.requests_per_s for each in rounds]
    shares = [
        rate / max(step.outcome.requests_per_s, 1.0)
        for rate, step in zip(rates, noop, strict=False)
    ]
    return Row("128 connections as a share of a no-op", "x", shares,
               more_is_better=True, floor=0.6, goal=0.9)  # fmt: skip


def _other_rows(rounds: Sequence[Round]) -> Iterator[Row]:
    rates = [each.batches[ASKED_BATCH].outcome.events_per_s for each in rounds]
    yield Row(f"batches of {ASKED_BATCH:,}", "events/s", rates, more_is_better=True,
              floor=30_000, goal=80_000)  # fmt: skip
    for method in rounds[0].explanations_ms:
        told = [each.explanations_ms[method] for each in rounds]
        yield Row(f"explanation by {method}, p50", "ms", [each.p50 for each in told])
        p95 = [each.p95 for each in told]
        yield Row(f"explanation by {method}, p95", "ms", p95, floor=200, goal=50)
