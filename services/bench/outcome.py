"""What a load run is asked for and what it found; passed between processes as JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

OK = "200"
#: What stands in place of a status when there was no answer.
NO_ANSWER = ("refused", "connection lost", "timeout", "malformed answer", "not sent")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One load run. ``events`` is an NDJSON file, ``run`` and ``number`` as for ``Traffic``.

    ``batch`` events a request, 0: one event to ``/v1/score``. ``rate`` requests a second whether
    answers come or not, 0: each connection sends when it has its answer. The first ``settle_s``
    are left out of latencies and throughput, never out of the statuses.
    """

    host: str
    port: int
    events: str
    run: str
    number: int = 0
    seconds: float
    connections: int
    batch: int = 0
    rate: float = 0.0
    settle_s: float = 0.5
    key: str = ""
    timeline: bool = False


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """One request of a timeline; times in seconds of the machine's monotonic clock."""

    sent: float
    answered: float
    status: str
    degraded: bool


class Outcome(msgspec.Struct, kw_only=True):
    """What became of one load run. Event counts come from the answers themselves."""

    seconds: float = 0.0
    requests: int = 0
    events: int = 0
    statuses: dict[str, int] = {}
    latency_ms: Latency = Latency()
    alerts: int = 0
    degraded: int = 0
    duplicates: int = 0
    refused: int = 0
    cpu_s: float = 0.0
    elapsed_s: float = 0.0
    next_number: int = 0
    timeline: list[Answered] = []

    @property
    def requests_per_s(self) -> float:
        """Requests answered in the measured seconds, by second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def events_per_s(self) -> float:
        """The same in events."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def generator_cores(self) -> float:
        """Share of one core that the load generator itself took."""
        return self.cpu_s / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def errors(self) -> int:
        """Answers that are no clean verdict: other statuses, refused or degraded events."""
        failed = sum(count for status, count in self.statuses.items() if status != OK)
        return failed + self.refused + self.degraded + self.duplicates


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank in an ascending sequence; 0 when there is nothing.

    >>> [percentile([1, 2, 3, 4], share) for share in (0.5, 0.75, 0.95, 1.0)]
    [2, 3, 4, 4]
    """
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles of durations, in milliseconds."""
    ordered = sorted(seconds)
    at = [round(percentile(ordered, share) * 1e3, 3) for share in (0.5, 0.9, 0.95, 0.99, 1.0)]
    return Latency(*at)
