"""Prometheus metrics of the gateway; names are a type, so a typo fails the type check."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CounterName = Literal[
    "ztad_requests_total",  # HTTP requests by route and status
    "ztad_events_total",  # events by outcome: ordinary, alert, error, duplicate
    "ztad_degraded_batches_total",  # micro-batches scored without every detector
    "ztad_shed_total",  # requests turned away because of load, by status
    "ztad_lost_records_total",  # verdicts that never reached the Recorder
    "ztad_alerts_total",  # flagged events by severity and first reason
    "ztad_variant_events_total",  # events by variant, version and outcome: ordinary, alert
    "ztad_variant_scores_total",  # events by variant, version and decade of rarity
    "ztad_shadow_events_total",  # events for the shadow version by outcome: judged, shed
]
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class GatewayMetrics:
    """All metrics of one gateway replica, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "ztad_requests_total", "HTTP requests", ["route", "status"], registry=registry
        )
        self.events = Counter(
            "ztad_events_total", "Events by what became of them", ["outcome"], registry=registry
        )
        self.degraded = Counter(
            "ztad_degraded_batches_total", "Batches without every detector", registry=registry
        )
        self.shed = Counter(
            "ztad_shed_total", "Requests turned away", ["status"], registry=registry
        )
        self.lost = Counter("ztad_lost_records_total", "Verdicts not recorded", registry=registry)
        self.alerts = Counter(
            "ztad_alerts_total", "Flagged events", ["severity", "reason"], registry=registry
        )
        self.variant_events = Counter(
            "ztad_variant_events_total", "Events by who judged them",
            ["variant", "version", "outcome"], registry=registry,
        )  # fmt: skip
        self.variant_scores = Counter(
            "ztad_variant_scores_total", "Events by rarity: one in 10^decade",
            ["variant", "version", "decade"], registry=registry,
        )  # fmt: skip
        self.variant_seconds = Histogram(
            "ztad_variant_seconds", "Time of a micro-batch with events of this version",
            ["variant", "version"], buckets=_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.routing_weight = Gauge(
            "ztad_routing_weight", "Percentage of users that a version answers",
            ["variant", "version"], registry=registry,
        )  # fmt: skip
        self.shadow = Counter(
            "ztad_shadow_events_total", "Events for the shadow version", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "ztad_waiting_events", "Events waiting for a micro-batch", registry=registry
        )
        self.latency = Histogram(
            "ztad_request_seconds", "Time to answer", ["route"],
            buckets=_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.stage = Histogram(
            "ztad_stage_seconds", "Time of one stage call", ["stage"],
            buckets=_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.batch = Histogram(
            "ztad_batch_events", "Events per micro-batch", buckets=_SIZES, registry=registry
        )

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)
