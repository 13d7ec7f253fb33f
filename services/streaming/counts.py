"""What a stream worker counts, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from services.streaming.base import Partition
from services.streaming.scoring import Outcome

Rebalance = Literal["assigned", "revoked", "lost"]


@dataclass(slots=True)
class Counts:
    """Counts since the worker started; ``commit_s`` is the time of all commits together."""

    consumed: int = 0
    events: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    rebalances: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    commit_s: float = 0.0
    not_committed: int = 0
    failures: int = 0

    def add(self, outcome: Outcome) -> None:
        """What became of a batch."""
        verdicts = len(outcome.verdicts)
        duplicates = sum(scored.duplicates for _, scored in outcome.scored)
        alerts = sum(scored.alerts for _, scored in outcome.scored)
        self.events["alert"] += alerts
        self.events["duplicate"] += duplicates
        self.events["ordinary"] += max(0, verdicts - alerts)
        for each in outcome.letters:
            self.letters[each.reason] += 1


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
