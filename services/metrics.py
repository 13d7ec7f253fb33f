"""Every metric by name, and the pages they are read from.

:data:`FAMILIES` is the one list that code, documentation (docs/metrics.md) and dashboards share.
Names are a type, so a typo fails the type check. No label holds anything that callers choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MetricName = Literal[
    "ztad_requests_total",
    "ztad_request_seconds",
    "ztad_events_total",
    "ztad_flagged_events_total",
    "ztad_batch_events",
    "ztad_waiting_events",
    "ztad_shed_total",
    "ztad_degraded_batches_total",
    "ztad_alone_batches_total",
    "ztad_stage_seconds",
    "ztad_stage_failures_total",
    "ztad_stage_retries_total",
    "ztad_stage_calls_in_flight",
    "ztad_up",
    "ztad_detector_resting",
    "ztad_unrecorded_events",
    "ztad_refusing",
    "ztad_lost_records_total",
    "ztad_lost_audit_lines_total",
    "ztad_variant_events_total",
    "ztad_variant_scores_total",
    "ztad_variant_seconds",
    "ztad_routing_weight",
    "ztad_shadow_events_total",
    "ztad_alert_budget_promised",
    "ztad_feedback_unheard",
    "ztad_store_written_total",
    "ztad_store_write_verdicts",
    "ztad_store_write_seconds",
    "ztad_store_waiting_verdicts",
    "ztad_store_removed_total",
    "ztad_store_verdicts",
    "ztad_store_bytes",
    "ztad_store_oldest_seconds",
    "ztad_store_failures_total",
    "ztad_store_degraded",
    "ztad_store_unoffered",
    "ztad_spool_bytes",
    "ztad_spool_verdicts",
    "ztad_spool_oldest_seconds",
    "ztad_spool_drained_total",
    "ztad_spool_damaged_total",
    "ztad_active_users",
    "ztad_day_flagged_events",
    "ztad_alert_budget_realised",
    "ztad_alerts_opened_total",
    "ztad_alert_events_total",
    "ztad_alert_dropped_events_total",
    "ztad_alert_held_total",
    "ztad_alert_step_seconds",
    "ztad_alert_rules_broken",
    "ztad_alert_messages_total",
    "ztad_alert_messages",
    "ztad_alert_channel_up",
    "ztad_feedback_total",
    "ztad_stream_consumed_total",
    "ztad_stream_events_total",
    "ztad_stream_dead_letters_total",
    "ztad_stream_variant_events_total",
    "ztad_stream_variant_scores_total",
    "ztad_stream_flagged_events_total",
    "ztad_stream_lag_events",
    "ztad_stream_in_flight",
    "ztad_stream_paused",
    "ztad_stream_fused",
    "ztad_stream_waiting",
    "ztad_stream_commits_total",
    "ztad_stream_commit_seconds_total",
    "ztad_stream_retries_total",
    "ztad_stream_rebalances_total",
]

_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
#: Messages to people's channels are slower than calls between deployments.
_DELIVERY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``buckets`` makes a histogram of it, a name that ends in ``_total`` a counter."""

    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


#: What each gateway replica counts for itself: sum them over the replicas.
GATEWAY: dict[MetricName, Family] = {
    "ztad_requests_total": Family("HTTP requests answered", ("route", "status")),
    "ztad_request_seconds": Family("Time to answer an HTTP request", ("route",), _BUCKETS_S),
    "ztad_events_total": Family("Events by what became of them", ("outcome",)),
    "ztad_flagged_events_total": Family(
        "Events over the threshold, by severity and first reason", ("severity", "reason")
    ),
    "ztad_batch_events": Family("Events of a batch that was scored", (), _SIZES),
    "ztad_waiting_events": Family("Single events that wait for a batch"),
    "ztad_shed_total": Family("Requests turned away because of load", ("status",)),
    "ztad_degraded_batches_total": Family("Batches scored without every detector"),
    "ztad_alone_batches_total": Family("Batches scored without the shared history"),
    "ztad_stage_seconds": Family("Time of one call of a stage", ("stage",), _BUCKETS_S),
    "ztad_stage_failures_total": Family(
        "Calls of a stage that were not answered, by why", ("stage", "reason")
    ),
    "ztad_stage_retries_total": Family("Calls of a stage that were made again", ("stage",)),
    "ztad_stage_calls_in_flight": Family("Calls of a stage that wait for its answer", ("stage",)),
    "ztad_up": Family("Whether a stage answered its last call", ("stage",)),
    "ztad_detector_resting": Family(
        "Whether a detector is left out until it answers again", ("detector",)
    ),
    "ztad_unrecorded_events": Family("Verdicts that wait for the Recorder"),
    "ztad_refusing": Family("Whether events are refused because verdicts wait for the store"),
    "ztad_lost_records_total": Family("Verdicts that were given up before they were recorded"),
    "ztad_lost_audit_lines_total": Family("Audit lines that are in the file alone"),
    "ztad_variant_events_total": Family(
        "Events by who judged them, and how", ("variant", "version", "outcome")
    ),
    "ztad_variant_scores_total": Family(
        "Events by who judged them, and how rare they are: one in 10^decade",
        ("variant", "version", "decade"),
    ),
    "ztad_variant_seconds": Family(
        "Time of a batch with events of a version", ("variant", "version"), _BUCKETS_S
    ),
    "ztad_routing_weight": Family(
        "Percentage of users that a version answers", ("variant", "version")
    ),
    "ztad_shadow_events_total": Family("Events for the shadow version", ("outcome",)),
    "ztad_alert_budget_promised": Family(
        "Alerts per 1,000 active users and day that a version was made for", ("variant", "version")
    ),
    "ztad_feedback_unheard": Family("Whether the history cannot be told what analysts said"),
}
#: What the one Recorder counts: every gateway tells the same, so take the highest.
RECORDER: dict[MetricName, Family] = {
    "ztad_store_written_total": Family("Verdicts written"),
    "ztad_store_write_verdicts": Family("Verdicts of one transaction", (), _SIZES),
    "ztad_store_write_seconds": Family("Time of one transaction", (), _BUCKETS_S),
    "ztad_store_waiting_verdicts": Family("Verdicts that wait for their transaction"),
    "ztad_store_removed_total": Family("Verdicts removed because of age, number or space"),
    "ztad_store_verdicts": Family("Verdicts kept: ordinary, flagged, shadow", ("kind",)),
    "ztad_store_bytes": Family("What the store takes on the disk"),
    "ztad_store_oldest_seconds": Family("Age of the oldest verdict"),
    "ztad_store_failures_total": Family("Questions and transactions that failed"),
    "ztad_store_degraded": Family(
        "Whether the store is broken, or kept in memory instead of its file"
    ),
    "ztad_store_unoffered": Family("Whether flagged verdicts wait to become alerts"),
    "ztad_spool_bytes": Family("What waits on the disk for the store"),
    "ztad_spool_verdicts": Family("Verdicts that wait on the disk for the store"),
    "ztad_spool_oldest_seconds": Family("Since when verdicts wait on the disk for the store"),
    "ztad_spool_drained_total": Family("Verdicts that waited on the disk and are in the store"),
    "ztad_spool_damaged_total": Family("Stretches of what waited that could not be read or stored"),
    "ztad_active_users": Family("Users with an event on a day (UTC of the events)", ("day",)),
    "ztad_day_flagged_events": Family("Events over the threshold on a day", ("day",)),
    "ztad_alert_budget_realised": Family(
        "Events over the threshold per 1,000 active users of a day", ("day",)
    ),
    "ztad_alerts_opened_total": Family(
        "Alerts opened, by severity and main reason", ("severity", "reason")
    ),
    "ztad_alert_events_total": Family("Events that opened an alert or joined one"),
    "ztad_alert_dropped_events_total": Family(
        "Events over the threshold that a rule keeps from alerting", ("rule",)
    ),
    "ztad_alert_held_total": Family("Times an alert had news and was not sent, by why", ("why",)),
    "ztad_alert_step_seconds": Family(
        "Time of one step from an alert to its delivery", ("step", "outcome"), _DELIVERY_S
    ),
    "ztad_alert_rules_broken": Family(
        "Whether the rules file cannot be used; the rules before it stay in force"
    ),
    "ztad_alert_messages_total": Family(
        "Attempts to send a message, by what came of them", ("channel", "outcome")
    ),
    "ztad_alert_messages": Family("Messages on record, by where they stand", ("channel", "state")),
    "ztad_alert_channel_up": Family(
        "Whether the last attempt on a channel got through", ("channel",)
    ),
    "ztad_feedback_total": Family("What analysts said of events", ("disposition",)),
}
#: What stream workers count, together: every gateway tells the same, so take the highest.
STREAM: dict[MetricName, Family] = {
    "ztad_stream_consumed_total": Family("Messages read from the topic of events"),
    "ztad_stream_events_total": Family(
        "Events of the topic by what became of them, durable and written", ("outcome",)
    ),
    "ztad_stream_dead_letters_total": Family("Messages that became dead letters", ("reason",)),
    "ztad_stream_variant_events_total": Family(
        "Events of the topic by who judged them, and how", ("variant", "version", "outcome")
    ),
    "ztad_stream_variant_scores_total": Family(
        "Events of the topic by who judged them, and how rare they are: one in 10^decade",
        ("variant", "version", "decade"),
    ),
    "ztad_stream_flagged_events_total": Family(
        "Events of the topic over the threshold, by severity and first reason",
        ("severity", "reason"),
    ),
    "ztad_stream_lag_events": Family(
        "Messages of a partition that are not committed", ("topic", "partition")
    ),
    "ztad_stream_in_flight": Family("Batches under way"),
    "ztad_stream_paused": Family("Workers whose partitions are paused"),
    "ztad_stream_fused": Family("Workers that their fuse has stopped"),
    "ztad_stream_waiting": Family("Workers that wait for brokers, topics or the schema registry"),
    "ztad_stream_commits_total": Family("Commits of positions", ("outcome",)),
    "ztad_stream_commit_seconds_total": Family("Time that commits took"),
    "ztad_stream_retries_total": Family(
        "Attempts at brokers, topics or the schema registry that failed and were made again"
    ),
    "ztad_stream_rebalances_total": Family("Times that partitions changed hands", ("outcome",)),
}
FAMILIES = GATEWAY | RECORDER | STREAM

Values = Iterable[tuple[tuple[str, ...], float]]
"""Values of a family, each with the values of its labels."""


def labelled(values: Mapping[str, float]) -> Values:
    """Values of a family with one label.

    >>> labelled({"mail": 2})
    [(('mail',), 2)]
    """
    return [((name,), value) for name, value in values.items()]


def kind(name: MetricName) -> Literal["counter", "gauge", "histogram"]:
    """What type of metric it is.

    >>> kind("ztad_requests_total"), kind("ztad_up")
    ('counter', 'gauge')
    """
    if FAMILIES[name].buckets:
        return "histogram"
    return "counter" if name.endswith("_total") else "gauge"


class Metrics:
    """Metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        # When a series began is one more series each, which nobody asked for.
        without_created: Callable[[], None] = disable_created_metrics
        without_created()
        self._registry = CollectorRegistry()

    def counter(self, name: MetricName) -> Counter:
        family = FAMILIES[name]
        return Counter(name, family.meaning, family.labels, registry=self._registry)

    def gauge(self, name: MetricName) -> Gauge:
        family = FAMILIES[name]
        return Gauge(name, family.meaning, family.labels, registry=self._registry)

    def histogram(self, name: MetricName) -> Histogram:
        family = FAMILIES[name]
        return Histogram(
            name, family.meaning, family.labels, buckets=family.buckets, registry=self._registry
        )

    def render(self, kept: Mapping[MetricName, Values] | None = None) -> bytes:
        """The text exposition format: what was counted here, and what somebody else keeps count
        of anyway."""
        return generate_latest(self._registry) + generate_latest(_Kept(kept or {}))


class _Kept(Collector):
    def __init__(self, kept: Mapping[MetricName, Values]) -> None:
        self._kept = kept

    def collect(self) -> Iterable[Metric]:
        for name, values in self._kept.items():
            family = FAMILIES[name]
            of = CounterMetricFamily if kind(name) == "counter" else GaugeMetricFamily
            told = of(name, family.meaning, labels=family.labels)
            for labels, value in values:
                told.add_metric(labels, value)
            yield told


#: Statuses of requests turned away because of load.
SHED_STATUSES = (429, 503)


class GatewayMetrics(Metrics):
    """What one gateway replica counts as it goes; the rest is read where it is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = self.counter("ztad_requests_total")
        self.latency = self.histogram("ztad_request_seconds")
        self.events = self.counter("ztad_events_total")
        self.flagged = self.counter("ztad_flagged_events_total")
        self.batch = self.histogram("ztad_batch_events")
        self.waiting = self.gauge("ztad_waiting_events")
        self.shed = self.counter("ztad_shed_total")
        for status in SHED_STATUSES:  # from 0 on: the first of a kind has to show in a rate
            self.shed.labels(str(status))
        self.degraded = self.counter("ztad_degraded_batches_total")
        self.alone = self.counter("ztad_alone_batches_total")
        self.stage_seconds = self.histogram("ztad_stage_seconds")
        self.stage_failures = self.counter("ztad_stage_failures_total")
        self.stage_calls = self.gauge("ztad_stage_calls_in_flight")
        self.up = self.gauge("ztad_up")
        self.lost_audit_lines = self.counter("ztad_lost_audit_lines_total")
        self.feedback_unheard = self.gauge("ztad_feedback_unheard")
        self.variant_events = self.counter("ztad_variant_events_total")
        self.variant_scores = self.counter("ztad_variant_scores_total")
        self.variant_seconds = self.histogram("ztad_variant_seconds")
