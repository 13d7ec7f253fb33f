"""The table of ``ztad bench --peers``: ratios, since absolute figures are the machine's."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from rich.table import Table

from services.bench.outcome import Outcome
from services.bench.peers import Compared, Peer, Visit
from services.bench.rows import Row as Kept
from services.bench.table import number


@dataclass(frozen=True, slots=True)
class Row:
    """One server under one kind of load, by round. ``ratios``: ztad's throughput in the same round
    over this one's."""

    name: str
    load: str
    loads: Sequence[Outcome]
    ratios: Sequence[float]
    goal: float | None

    @property
    def events_per_s(self) -> list[float]:
        return [each.events_per_s for each in self.loads]

    @property
    def met(self) -> str:
        """Whether the median ratio reaches what is wanted; empty where nothing is."""
        if self.goal is None or not self.ratios:
            return ""
        return "goal" if statistics.median(self.ratios) >= self.goal else "below"


def rows(compared: Compared, peers: Sequence[Peer]) -> Iterator[Row]:
    """Two rows a server, in order; none of one that never ran. The first of ``peers`` is ztad."""
    rounds, ours = compared.rounds, peers[0].name
    for peer in peers:
        visits = [each[peer.name] for each in rounds if peer.name in each]
        if not visits:
            continue
        both = [(each[ours], each[peer.name]) for each in rounds if {ours, peer.name} <= set(each)]
        best = best_connections(visits)
        our_best = best_connections([one for one, _ in both]) if both else best
        loads = [each.singles[best] for each in visits]
        ratios = [_ratio(one.singles[our_best], other.singles[best]) for one, other in both]
        yield Row(peer.name, f"single events, {best}", loads, ratios, peer.singles_goal)
        ratios = [_ratio(one.batches, other.batches) for one, other in both]
        yield Row(peer.name, "batches of 1,000", [each.batches for each in visits], ratios,
                  peer.batches_goal)  # fmt: skip


def peers_rows(compared: Compared, peers: Sequence[Peer]) -> list[Kept]:
    """The same to be compared with another release's: throughput, and ztad's as a multiple."""
    found = []
    for row in rows(compared, peers):
        what = f"{row.name}: {row.load.partition(', ')[0]}"
        found.append(Kept(what, "events/s", row.events_per_s, more_is_better=True))
        ratios = [each for each in row.ratios if isfinite(each)]
        if ratios and row.name != peers[0].name:
            found.append(Kept(f"{what}, ztad", "x", ratios, more_is_better=True))
    return found


def best_connections(visits: Sequence[Visit]) -> int:
    """The number of connections at which the median of all rounds is highest."""
    return max(
        visits[0].singles,
        key=lambda each: statistics.median(visit.singles[each].events_per_s for visit in visits),
    )


def peers_table(compared: Compared, peers: Sequence[Peer]) -> Table:
    """Throughput, latency and errors of each server, and how many times as much ztad does."""
    plan, fitted = compared.plan, compared.fitted
    table = Table(
        title=f"ztad bench --peers, model {fitted.model}, {plan.runs} rounds, {plan.seconds:g} s a "
        f"load, {compared.cores} cores; peers: {fitted.support_vectors} support vectors, no "
        "history, no reasons, no store"
    )
    names = ("events/s", "worst", "p50 ms", "p99 ms", "errors", "ztad x", "worst", "goal")
    table.add_column("server")
    table.add_column("load, connections")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("met")
    for row in rows(compared, peers):
        table.add_row(row.name, row.load, *_figures(row), row.met)
    return table


def resources_table(compared: Compared, peers: Sequence[Peer]) -> Table:
    """Memory after load, and time until ready."""
    table = Table(title="memory after load, time until ready")
    table.add_column("server")
    for name in ("PSS MiB", "most", "ready s", "longest"):
        table.add_column(name, justify="right")
    for peer in peers:
        visits = [each[peer.name] for each in compared.rounds if peer.name in each]
        held = [each.memory_mib for each in visits if each.memory_mib is not None]
        ready = [each.ready_s for each in visits if each.ready_s is not None]
        if held and ready:
            told = (statistics.median(held), max(held), statistics.median(ready), max(ready))
            table.add_row(peer.name, *map(number, told))
        elif not visits:
            table.add_row(peer.name, "did not run")
    return table


def _figures(row: Row) -> list[str]:
    rates = row.events_per_s
    ratios = row.ratios
    return [
        number(statistics.median(rates)),
        number(min(rates)),
        number(statistics.median(each.latency_ms.p50 for each in row.loads)),
        number(statistics.median(each.latency_ms.p99 for each in row.loads)),
        str(sum(each.errors for each in row.loads)),
        number(statistics.median(ratios)) if ratios else "-",
        number(min(ratios)) if ratios else "-",
        "" if row.goal is None else f"{row.goal:g}",
    ]


def _ratio(ours: Outcome, other: Outcome) -> float:
    return ours.events_per_s / other.events_per_s if other.events_per_s else float("inf")
