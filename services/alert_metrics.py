"""What became of alerts, as metrics."""

from __future__ import annotations

from alerting.runner import State
from services.metrics import MetricName, Metrics, Values, labelled


def page(state: State) -> bytes:
    """The text exposition format of a state."""
    return Metrics().render(families(state))


def families(state: State) -> dict[MetricName, Values]:
    """A state by metric; counters begin with the process."""
    attempts = {
        (name, outcome): count
        for name, counts in state.channels.items()
        for outcome, count in (
            ("sent", counts.sent), ("retried", counts.retried), ("failed", counts.failed),
        )
    }  # fmt: skip
    return {
        "ztad_alerts_opened_total": state.opened.items(),
        "ztad_alert_events_total": [((), state.events)],
        "ztad_alert_dropped_events_total": labelled(state.dropped),
        "ztad_alert_held_total": labelled(state.held),
        "ztad_alert_messages_total": attempts.items(),
        "ztad_alert_messages": state.deliveries.items(),
        "ztad_alert_channel_up": labelled(
            {name: not counts.problem for name, counts in state.channels.items()}
        ),
        "ztad_alert_rules_broken": [((), bool(state.rules_problem))],
    }
