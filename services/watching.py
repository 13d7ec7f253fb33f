"""``Watch``: what the Recorder's process tells of itself, as metrics and as spans."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from alerting.observing import Note, StepName
from services.metrics import MetricName, Values
from services.realised import Realised
from services.recorder_metrics import RecorderMetrics
from services.telemetry import NO_TRACING, Tracing
from services.wire import Recorded

LOG = logging.getLogger("ztad.recorder")

#: The days of the budget are kept this often, seconds.
SAVE_EVERY_S = 10.0


class Watch:
    """Counts what the Recorder writes and what becomes of alerts. One event loop.

    The days of the budget are kept in ``path``, if there is one, at most ``SAVE_EVERY_S`` old.
    ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        metrics: RecorderMetrics,
        tracing: Tracing = NO_TRACING,
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._path = path
        self._clock = clock
        self._save_s = clock() + SAVE_EVERY_S
        self.realised = Realised(clock)
        self._restore()

    @contextmanager
    def writing(self, batches: Sequence[Recorded]) -> Iterator[None]:
        """Around one transaction; what could not be written is not counted: it will come again."""
        events = sum(len(batch.event_ids) for batch in batches)
        traces = (trace for batch in batches for trace in batch.traces.values())
        with self._tracing.recording(traces, events):
            yield
        self._metrics.batch.observe(events)
        for batch in batches:
            if not batch.shadow:
                stamps = np.frombuffer(batch.stamps, np.float64)
                self.realised.add(batch.users, stamps, batch.alerts)
        if self._clock() >= self._save_s:
            self.save()

    def save(self) -> None:
        """Keep the days of the budget for after a restart; a full disk is told and no more."""
        self._save_s = self._clock() + SAVE_EVERY_S
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(self.realised.encode())
            fresh.replace(self._path)
        except OSError as error:
            LOG.warning("active users are not kept for a restart (%s): %s", error.strerror, fresh)

    def _restore(self) -> None:
        if self._path is None:
            return
        try:
            self.realised.restore(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            LOG.warning("active users are counted anew, %s cannot be read: %s", self._path, error)

    @contextmanager
    def alerting(self, name: StepName, traceparent: str) -> Iterator[Note]:
        """Around one step of the alert pipeline (``alerting.observing.Observe``)."""
        started, outcome = time.perf_counter(), "done"
        try:
            with self._tracing.following(name, traceparent) as note:
                yield note
        except Exception as error:
            outcome = type(error).__name__.lower()
            raise
        finally:
            step = name.rpartition(".")[2]
            self._metrics.steps.labels(step, outcome).observe(time.perf_counter() - started)

    def page(self) -> bytes:
        """The text exposition format."""
        return self._metrics.render(self._budget())

    def _budget(self) -> dict[MetricName, Values]:
        days = {"running": self.realised.running(), "last": self.realised.last()}
        known = {(name,): day for name, day in days.items() if day is not None}
        return {
            "ztad_active_users": [(name, round(day.users)) for name, day in known.items()],
            "ztad_day_flagged_events": [(name, day.flagged) for name, day in known.items()],
            "ztad_alert_budget_realised": [(name, day.per_1000) for name, day in known.items()],
        }
