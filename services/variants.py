"""What each version made of its events, for metrics and ``GET /v1/models``."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble.decision import MOST_DECADES
from ensemble.scorer import ensemble_of
from models.bundle import Bundle
from services.metrics import GatewayMetrics, MetricName, Values
from services.pipeline import Scored
from services.routing import Live, Routing
from services.shadow import Shadow
from services.wire import Judged

#: Batches whose duration is remembered for the percentiles of ``GET /v1/models``.
RECENT = 1000


@dataclass(slots=True)
class _Counts:
    events: int = 0
    alerts: int = 0
    decades: list[int] = field(default_factory=lambda: [0] * MOST_DECADES)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))


class Variants:
    """Counts of one gateway replica since it started, by variant and version."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._counts: dict[tuple[str, str], _Counts] = {}

    def count(self, scored: Scored, took_s: float) -> None:
        """Add what became of one payload, which took so many seconds."""
        for tally in scored.tallies:
            self.judged(tally.live, tally.judged, took_s)
            for name, count in tally.judged.reasons.items():
                severity, _, reason = name.partition(" ")
                self._metrics.flagged.labels(severity, reason).inc(count)

    def judged(self, live: Live, judged: Judged, took_s: float) -> None:
        """Add what a version made of a batch, whether it answers or only watches."""
        metrics, name = self._metrics, (live.variant, live.version)
        events, alerts = len(judged.verdicts), len(judged.alerts)
        metrics.variant_events.labels(*name, "alert").inc(alerts)
        metrics.variant_events.labels(*name, "ordinary").inc(events - alerts)
        metrics.variant_seconds.labels(*name).observe(took_s)
        for decade, count in enumerate(judged.decades):
            if count:
                metrics.variant_scores.labels(*name, str(decade)).inc(count)
        own = self._counts.setdefault(name, _Counts())
        own.events += events
        own.alerts += alerts
        own.decades = [a + b for a, b in zip(own.decades, judged.decades, strict=True)]
        own.seconds.append(took_s)

    def document(
        self,
        routing: Routing,
        bundles: Mapping[str, Bundle],
        shadow: Shadow,
        streamed: Mapping[MetricName, Values] | None,
    ) -> dict[str, Any]:
        """The answer of ``GET /v1/models``; ``streamed`` is what stream workers count together,
        None while they do not tell."""
        variants: dict[str, dict[str, Any]] = {
            live.variant: {
                **_told(bundles[live.version]),
                "weight": live.weight,
                "since_start": self._since_start(live.variant, live.version, streamed),
            }
            for live in routing.everyone
        }
        if routing.shadow is not None:
            variants["shadow"]["since_start"]["shed"] = shadow.shed
        return {"revision": routing.revision, "variants": variants}

    def _since_start(
        self, variant: str, version: str, streamed: Mapping[MetricName, Values] | None
    ) -> dict[str, Any]:
        """Times are those of requests alone: what is read from a topic is waited for by nobody."""
        own = self._counts.get((variant, version), _Counts())
        told = streamed or {}
        theirs = _of(variant, version, told.get("ztad_stream_variant_events_total", ()))
        rare = _of(variant, version, told.get("ztad_stream_variant_scores_total", ()))
        from_topics = int(sum(theirs.values()))
        events = own.events + from_topics
        alerts = own.alerts + int(theirs.get("alert", 0))
        seconds = np.array(own.seconds)
        quantiles = np.quantile(seconds, (0.5, 0.95)) * 1000 if len(seconds) else (0.0, 0.0)
        return {
            "events": events,
            "events_from_topics": None if streamed is None else from_topics,
            "alerts": alerts,
            "alert_rate": alerts / events if events else 0.0,
            "p50_ms": round(float(quantiles[0]), 3),
            "p95_ms": round(float(quantiles[1]), 3),
            "score_decades": [
                count + int(rare.get(str(decade), 0)) for decade, count in enumerate(own.decades)
            ],
        }


def _of(variant: str, version: str, values: Values) -> dict[str, float]:
    """What was counted of a version, by the last label.

    >>> _of("champion", "v1", [(("champion", "v1", "alert"), 2), (("shadow", "v2", "alert"), 1)])
    {'alert': 2}
    """
    return {labels[2]: value for labels, value in values if labels[:2] == (variant, version)}


def _told(bundle: Bundle) -> dict[str, Any]:
    """What a version is."""
    spec, manifest = ensemble_of(bundle), bundle.manifest
    return {
        "version": bundle.version,
        "created": manifest.created,
        "detectors": list(bundle.detectors),
        "method": spec.method,
        "threshold": spec.threshold,
        "kind_thresholds": spec.kind_thresholds,
        "alert_budget": spec.budget,
        "schema": manifest.schema.version,
        "features": list(manifest.schema.names),
        "metrics": manifest.details.metrics,
        "fingerprint": manifest.details.fingerprint,
    }
