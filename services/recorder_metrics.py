"""Prometheus metrics of the Recorder's store; names are a type, so a typo fails the type check."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.storage.base import Size

Name = Literal[
    "ztad_store_verdicts",  # verdicts kept, by kind: ordinary, flagged, shadow
    "ztad_store_bytes",  # what the store takes on the disk
    "ztad_store_oldest_seconds",  # age of the oldest verdict
    "ztad_store_waiting_verdicts",  # verdicts waiting for their transaction
    "ztad_store_write_seconds",  # time of one transaction
    "ztad_store_written_total",  # verdicts written
    "ztad_store_removed_total",  # verdicts removed because of age, number or space
    "ztad_store_failures_total",  # questions and transactions that failed
    "ztad_store_degraded",  # 1 while verdicts are kept in memory instead of the file
    "ztad_store_unoffered",  # 1 while flagged verdicts wait to become alerts
]
_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class RecorderMetrics:
    """All metrics of the Recorder, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._verdicts = Gauge("ztad_store_verdicts", "Verdicts kept", ["kind"], registry=registry)
        self._bytes = Gauge("ztad_store_bytes", "Bytes on the disk", registry=registry)
        self._oldest = Gauge(
            "ztad_store_oldest_seconds", "Age of the oldest verdict", registry=registry
        )
        self.waiting = Gauge(
            "ztad_store_waiting_verdicts", "Verdicts not yet written", registry=registry
        )
        self.write = Histogram(
            "ztad_store_write_seconds", "Time of one transaction",
            buckets=_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.written = Counter("ztad_store_written_total", "Verdicts written", registry=registry)
        self.removed = Counter("ztad_store_removed_total", "Verdicts removed", registry=registry)
        self.failures = Counter(
            "ztad_store_failures_total", "What the store failed to do", registry=registry
        )
        self.degraded = Gauge(
            "ztad_store_degraded", "Whether verdicts are in memory only", registry=registry
        )
        self.unoffered = Gauge(
            "ztad_store_unoffered", "Whether verdicts wait to become alerts", registry=registry
        )

    def tell(self, size: Size, now_s: float) -> None:
        """How much the store holds."""
        self._verdicts.labels("ordinary").set(size.ordinary)
        self._verdicts.labels("flagged").set(size.flagged)
        self._verdicts.labels("shadow").set(size.shadow)
        self._bytes.set(size.file_bytes)
        self._oldest.set(0.0 if size.oldest_s is None else max(0.0, now_s - size.oldest_s))

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)
