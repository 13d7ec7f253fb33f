"""What a stream worker counts, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from services.routing import Live
from services.streaming.base import Partition
from services.streaming.scoring import Outcome
from services.wire import Judged

Rebalance = Literal["assigned", "revoked", "lost"]


@dataclass(slots=True)
class Counts:
    """Counts since the worker started; ``commit_s`` is the time of all commits together.

    By whom events were judged: ``variants`` by (variant, version, outcome), ``decades`` by
    (variant, version, decade), ``flagged`` by (severity, first reason).
    """

    consumed: int = 0
    events: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    variants: Counter[tuple[str, ...]] = field(default_factory=Counter)
    decades: Counter[tuple[str, ...]] = field(default_factory=Counter)
    flagged: Counter[tuple[str, ...]] = field(default_factory=Counter)
    rebalances: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    commit_s: float = 0.0
    not_committed: int = 0
    failures: int = 0

    def add(self, outcome: Outcome) -> None:
        """What became of a batch."""
        duplicates = sum(scored.duplicates for _, scored in outcome.scored)
        alerts = sum(scored.alerts for _, scored in outcome.scored)
        self.events["alert"] += alerts
        self.events["duplicate"] += duplicates
        self.events["ordinary"] += sum(scored.ordinary for _, scored in outcome.scored)
        for each in outcome.letters:
            self.letters[each.reason] += 1
        for _, scored in outcome.scored:
            for tally in scored.tallies:
                self.judged(tally.live, tally.judged)
                for name, count in tally.judged.reasons.items():
                    severity, _, reason = name.partition(" ")
                    self.flagged[severity, reason] += count

    def judged(self, live: Live, judged: Judged, took_s: float = 0.0) -> None:
        """What a version made of a batch, whether it answers or only watches; how long that took
        is of no interest here."""
        alerts = len(judged.alerts)
        self.variants[live.variant, live.version, "alert"] += alerts
        self.variants[live.variant, live.version, "ordinary"] += len(judged.verdicts) - alerts
        for decade, count in enumerate(judged.decades):
            if count:
                self.decades[live.variant, live.version, str(decade)] += count


class State(msgspec.Struct, frozen=True):
    """How one worker is. ``lag`` counts the messages of each of its partitions that are not
    committed; ``fused`` says why it has stopped, ``trouble`` what it waits for."""

    worker: str
    consumed: int
    lag: dict[str, int]
    in_flight: int
    paused: bool
    fused: str | None
    trouble: str | None


def named(lag: Mapping[Partition, int]) -> dict[str, int]:
    """By ``topic:partition``.

    >>> named({Partition("ztad.events", 3): 7})
    {'ztad.events:3': 7}
    """
    return {f"{at.topic}:{at.number}": count for at, count in lag.items()}
