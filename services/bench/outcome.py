"""What a load run is asked for and what it found; passed between processes as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

OK = "200"
#: What stands in place of a status when there was no answer.
NO_ANSWER = ("refused", "connection lost", "timeout", "malformed answer", "not sent")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One load run. ``events`` is an NDJSON file, ``run`` and ``number`` as for ``Traffic``.

    ``batch`` events a request, 0: one event alone. ``path`` and ``content_type`` are the gateway's
    own where they are empty; several events as ``application/json`` are an array. ``rate`` requests
    a second whether answers come or not, over as many connections as that takes, 0: each connection
    sends when it has its answer. The first ``settle_s`` are left out of latencies and throughput,
    never out of the statuses. A ``constant`` is a no-op's answer: it has no verdicts to count.
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
    path: str = ""
    content_type: str = ""
    constant: bool = False

    @property
    def route(self) -> str:
        """Where requests go."""
        return self.path or ("/v1/score/batch" if self.batch else "/v1/score")

    @property
    def type(self) -> str:
        """What requests say they hold."""
        own = "application/x-ndjson" if self.batch else "application/json"
        return self.content_type or own


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """One request of a timeline; times in seconds of the machine's monotonic clock. At a rate
    ``sent`` is when the request was due, however late it could be sent."""

    sent: float
    answered: float
    status: str
    degraded: bool


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator wrote down: every request, in the order of their answers."""

    started: float
    elapsed_s: float
    cpu_s: float
    next_number: int
    verdicts: int
    alerts: int
    degraded: int
    duplicates: int
    refused: int
    timeline: list[Answered]


class Outcome(msgspec.Struct, kw_only=True):
    """What became of one load run. ``alerts`` to ``refused`` are counted in the answers, in events;
    ``missing`` are those of answered requests that neither have a verdict nor were refused."""

    seconds: float = 0.0
    requests: int = 0
    events: int = 0
    statuses: dict[str, int] = {}
    latency_ms: Latency = Latency()
    alerts: int = 0
    degraded: int = 0
    duplicates: int = 0
    refused: int = 0
    missing: int = 0
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
        """Requests without a 200, and in the others events without a clean verdict of their own."""
        failed = sum(count for status, count in self.statuses.items() if status != OK)
        return failed + self.refused + self.degraded + self.duplicates + self.missing


def outcome_of(job: Job, found: Found) -> Outcome:
    """What a load run comes to.

    Throughput counts answers by when they came. Latencies are those of requests by when they were
    sent, or due, and whenever their answer came: the slowest are not left out for being late.
    """
    start = found.started + job.settle_s
    end = start + job.seconds
    good = [each for each in found.timeline if each.status == OK]
    requests = sum(start <= each.answered < end for each in good)
    asked = len(good) * (job.batch or 1)
    return Outcome(
        seconds=job.seconds,
        requests=requests,
        events=requests * (job.batch or 1),
        statuses=dict(Counter(each.status for each in found.timeline)),
        latency_ms=latency(
            [each.answered - each.sent for each in good if start <= each.sent < end]
        ),
        alerts=found.alerts,
        degraded=found.degraded,
        duplicates=found.duplicates,
        refused=found.refused,
        missing=0 if job.constant else max(0, asked - found.verdicts - found.refused),
        cpu_s=found.cpu_s,
        elapsed_s=found.elapsed_s,
        next_number=found.next_number,
        timeline=found.timeline if job.timeline else [],
    )


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
