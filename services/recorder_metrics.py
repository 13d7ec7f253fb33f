"""What the Recorder counts as it goes, and how much its store holds."""

from __future__ import annotations

from typing import get_args

from preprocessing.feedback import Disposition
from services.metrics import Metrics
from services.storage.base import Opinion, Size

#: What takes back what was said before, beside the dispositions.
UNDO = "undo"


class RecorderMetrics(Metrics):
    """Metrics of the Recorder's process."""

    def __init__(self) -> None:
        super().__init__()
        self._verdicts = self.gauge("ztad_store_verdicts")
        self._bytes = self.gauge("ztad_store_bytes")
        self._oldest = self.gauge("ztad_store_oldest_seconds")
        self.waiting = self.gauge("ztad_store_waiting_verdicts")
        self.write = self.histogram("ztad_store_write_seconds")
        self.batch = self.histogram("ztad_store_write_verdicts")
        self.written = self.counter("ztad_store_written_total")
        self.removed = self.counter("ztad_store_removed_total")
        self.failures = self.counter("ztad_store_failures_total")
        self.degraded = self.gauge("ztad_store_degraded")
        self.unoffered = self.gauge("ztad_store_unoffered")
        self._spool_bytes = self.gauge("ztad_spool_bytes")
        self._spool_verdicts = self.gauge("ztad_spool_verdicts")
        self._spool_oldest = self.gauge("ztad_spool_oldest_seconds")
        self.drained = self.counter("ztad_spool_drained_total")
        self.damaged = self.counter("ztad_spool_damaged_total")
        self.steps = self.histogram("ztad_alert_step_seconds")
        self._feedback = self.counter("ztad_feedback_total")
        for disposition in (*get_args(Disposition), UNDO):  # from 0 on: the first shows in a rate
            self._feedback.labels(disposition)

    def said(self, opinion: Opinion | None) -> None:
        """Count what is on record of an event now; None if nothing is."""
        if opinion is not None:
            self._feedback.labels(opinion.disposition or UNDO).inc()

    def spooled(self, size_bytes: int, verdicts: int, since_s: float | None, now_s: float) -> None:
        """How much waits on the disk for the store, and since when."""
        self._spool_bytes.set(size_bytes)
        self._spool_verdicts.set(verdicts)
        self._spool_oldest.set(0.0 if since_s is None else max(0.0, now_s - since_s))

    def tell(self, size: Size, now_s: float) -> None:
        """How much the store holds."""
        self._verdicts.labels("ordinary").set(size.ordinary)
        self._verdicts.labels("flagged").set(size.flagged)
        self._verdicts.labels("shadow").set(size.shadow)
        self._bytes.set(size.file_bytes)
        self._oldest.set(0.0 if size.oldest_s is None else max(0.0, now_s - size.oldest_s))
