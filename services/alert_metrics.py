"""Prometheus metrics of alerting; names are a type, so a typo fails the type check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from alerting.runner import State

Name = Literal[
    "ztad_alerts_opened_total",  # alerts opened, by severity and main reason
    "ztad_alert_events_total",  # suspicious events that joined an alert
    "ztad_alert_dropped_events_total",  # suspicious events that raised no alert, by rule
    "ztad_alert_held_total",  # times that an alert was not told, by why
    "ztad_alert_messages_total",  # attempts by channel and outcome: sent, retried, failed
    "ztad_alert_messages",  # messages in the log, by channel and state
    "ztad_alert_rules_broken",  # 1 while the rules file cannot be used
]


class AlertMetrics(Collector):
    """Tells the last state it was told; counters begin with the process."""

    def __init__(self) -> None:
        self._state: State | None = None

    def render(self, state: State) -> bytes:
        """The text exposition format of a state."""
        self._state = state
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """The families; none until there is a state."""
        state = self._state
        if state is None:
            return
        yield _counter(
            "ztad_alerts_opened_total", "Alerts opened", ("severity", "reason"), state.opened
        )
        yield _counter("ztad_alert_events_total", "Events in alerts", (), {(): state.events})
        dropped = {(rule,): count for rule, count in state.dropped.items()}
        yield _counter(
            "ztad_alert_dropped_events_total", "Events without an alert", ("rule",), dropped
        )
        held = {(why,): count for why, count in state.held.items()}
        yield _counter("ztad_alert_held_total", "Times that an alert was held", ("why",), held)
        attempts = {
            (channel, outcome): count
            for channel, counts in state.channels.items()
            for outcome, count in (
                ("sent", counts.sent), ("retried", counts.retried), ("failed", counts.failed),
            )
        }  # fmt: skip
        yield _counter("ztad_alert_messages_total", "Attempts", ("channel", "outcome"), attempts)
        labels = ["channel", "state"]
        waiting = GaugeMetricFamily("ztad_alert_messages", "Messages in the log", labels=labels)
        for (channel, where), count in state.deliveries.items():
            waiting.add_metric([channel, where], count)
        yield waiting
        broken = 1.0 if state.rules_problem else 0.0
        yield GaugeMetricFamily("ztad_alert_rules_broken", "Whether rules are broken", value=broken)


def _counter(
    name: Name, about: str, labels: tuple[str, ...], counts: Mapping[Any, int]
) -> CounterMetricFamily:
    """``counts`` by the values of the labels, in their order."""
    family = CounterMetricFamily(name, about, labels=list(labels))
    for values, count in counts.items():
        family.add_metric(list(values), count)
    return family
