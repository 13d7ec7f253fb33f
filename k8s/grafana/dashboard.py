"""The Grafana dashboard as code: ``python -m k8s.grafana.dashboard`` writes ``ztad.json``.

Metrics of the Recorder are the same at every gateway, hence ``max`` where others have ``sum``
(docs/metrics.md). ``tests/architecture/test_dashboard.py`` compares every name with that page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "ztad.json"
#: Grafana lays panels out on a grid of 24 columns.
COLUMNS = 24
WIDTH, HEIGHT = 8, 7


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. ``queries`` are PromQL by legend; ``unit`` is one of Grafana's."""

    title: str
    unit: str
    queries: dict[str, str]
    says: str = ""


def p95(name: str, by: str, across: str = "sum") -> str:
    """The 95th percentile of a histogram, by a label."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile(0.95, {across} by ({labels}) (rate({name}_bucket[5m])))"


ROWS: dict[str, list[Panel]] = {
    "What comes in": [
        Panel("Requests", "reqps", {
            "{{route}} {{status}}": "sum by (route, status) (rate(ztad_requests_total[5m]))",
        }),
        Panel("Time to answer, p95", "s", {"{{route}}": p95("ztad_request_seconds", "route")}),
        Panel("Events", "eps", {
            "{{outcome}}": "sum by (outcome) (rate(ztad_events_total[5m]))",
        }),
        Panel("Turned away, degraded, lost", "short", {
            "shed {{status}}": "sum by (status) (rate(ztad_shed_total[5m]))",
            "degraded batches": "sum(rate(ztad_degraded_batches_total[5m]))",
            "batches without the shared history": "sum(rate(ztad_alone_batches_total[5m]))",
            "lost verdicts": "sum(rate(ztad_lost_records_total[5m]))",
            "audit lines in the file alone": "sum(rate(ztad_lost_audit_lines_total[5m]))",
            "gateways that refuse events": "sum(ztad_refusing)",
        }, "A second. Anything but zero deserves a look."),
        Panel("Batches", "short", {
            "events per batch":
                "sum(rate(ztad_batch_events_sum[5m])) / sum(rate(ztad_batch_events_count[5m]))",
            "events waiting": "sum(ztad_waiting_events)",
            "verdicts waiting for the Recorder": "sum(ztad_unrecorded_events)",
        }),
        Panel("Parts that answer", "bool_on_off", {
            "{{stage}}": "min by (stage) (ztad_up)",
        }),
    ],
    "Stages": [
        Panel("Calls", "reqps", {
            "{{stage}}": "sum by (stage) (rate(ztad_stage_seconds_count[5m]))",
        }),
        Panel("Time of a call, p95", "s", {"{{stage}}": p95("ztad_stage_seconds", "stage")}),
        Panel("Failed and repeated calls", "reqps", {
            "{{stage}} {{reason}}": "sum by (stage, reason) (rate(ztad_stage_failures_total[5m]))",
            "{{stage}} again": "sum by (stage) (rate(ztad_stage_retries_total[5m]))",
        }),
        Panel("Calls in flight", "short", {
            "{{stage}}": "sum by (stage) (ztad_stage_calls_in_flight)",
        }),
        Panel("Detectors left out", "short", {
            "{{detector}}": "max by (detector) (ztad_detector_resting)",
        }),
        Panel("Replicas", "short", {
            "{{deployment}} healthy": "sum by (deployment) (ray_serve_deployment_replica_healthy)",
            "{{deployment}} wanted": "max by (deployment) (ray_serve_autoscaling_target_replicas)",
        }, "Of Ray Serve."),
    ],
    "Judgement": [
        Panel("Events over the threshold", "short", {
            "{{severity}}":
                "sum by (severity) (increase(ztad_flagged_events_total[1h]))",
        }, "An hour."),
        Panel("First reasons", "short", {
            "{{reason}}": "sum by (reason) (increase(ztad_flagged_events_total[1h]))",
        }, "An hour."),
        Panel("Alert budget", "short", {
            "promised {{variant}}":
                "max by (variant) (ztad_alert_budget_promised{variant!=\"shadow\"})",
            "{{day}} day": "max by (day) (ztad_alert_budget_realised)",
        }, "Events over the threshold per 1,000 active users and day. Under attack there are more "
           "than promised, and there should be."),
        Panel("Share of events over the threshold", "percentunit", {
            "{{variant}} {{version}}":
                'sum by (variant, version) (rate(ztad_variant_events_total{outcome="alert"}[1h]))'
                " / sum by (variant, version) (rate(ztad_variant_events_total[1h]))",
        }),
        Panel("How rare events are", "short", {
            "{{version}} one in 10^{{decade}}":
                "sum by (version, decade) (increase(ztad_variant_scores_total[1h]))",
        }, "An hour; one in ten ordinary events belongs to each step beyond the one before."),
        Panel("Routing, and the shadow", "short", {
            "{{variant}} {{version}} %": "max by (variant, version) (ztad_routing_weight)",
            "shadow {{outcome}} /s": "sum by (outcome) (rate(ztad_shadow_events_total[5m]))",
        }),
    ],
    "Recorder and store": [
        Panel("Verdicts written, removed", "eps", {
            "written": "max(rate(ztad_store_written_total[5m]))",
            "removed": "max(rate(ztad_store_removed_total[5m]))",
        }),
        Panel("Transactions", "short", {
            "verdicts each":
                "max(rate(ztad_store_write_verdicts_sum[5m]))"
                " / max(rate(ztad_store_write_verdicts_count[5m]))",
            "verdicts waiting": "max(ztad_store_waiting_verdicts)",
            "drained from the disk": "max(rate(ztad_spool_drained_total[5m]))",
        }),
        Panel("Time of a transaction, p95", "s", {
            "write": p95("ztad_store_write_seconds", "", "max"),
        }),
        Panel("Size", "bytes", {
            "on disk": "max(ztad_store_bytes)",
            "waiting on the disk": "max(ztad_spool_bytes)",
        }),
        Panel("Verdicts kept", "short", {
            "{{kind}}": "max by (kind) (ztad_store_verdicts)",
            "days back": "max(ztad_store_oldest_seconds) / 86400",
        }),
        Panel("Trouble", "short", {
            "broken, or in memory only": "max(ztad_store_degraded)",
            "verdicts waiting on the disk": "max(ztad_spool_verdicts)",
            "since, in seconds": "max(ztad_spool_oldest_seconds)",
            "damaged while they waited": "max(increase(ztad_spool_damaged_total[5m]))",
            "waiting to become alerts": "max(ztad_store_unoffered)",
            "failures": "max(increase(ztad_store_failures_total[5m]))",
        }),
        Panel("Active users", "short", {"{{day}} day": "max by (day) (ztad_active_users)"}),
        Panel("Calls a replica works on", "short", {
            "{{deployment}}": "max by (deployment) (ray_serve_replica_processing_queries)",
        }, "Of Ray Serve."),
    ],
    "Kafka": [
        Panel("Lag", "short", {
            "{{topic}} {{partition}}": "max by (topic, partition) (ztad_stream_lag_events)",
        }, "Messages that are not committed."),
        Panel("Messages", "eps", {
            "read": "max(rate(ztad_stream_consumed_total[5m]))",
            "{{outcome}}": "max by (outcome) (rate(ztad_stream_events_total[5m]))",
        }),
        Panel("Dead letters", "short", {
            "{{reason}}": "max by (reason) (increase(ztad_stream_dead_letters_total[1h]))",
        }, "An hour."),
        Panel("Workers", "short", {
            "stopped by the fuse": "max(ztad_stream_fused)",
            "paused": "max(ztad_stream_paused)",
            "waiting for brokers": "max(ztad_stream_waiting)",
            "batches under way": "max(ztad_stream_in_flight)",
        }),
        Panel("Commits", "short", {
            "{{outcome}} /s": "max by (outcome) (rate(ztad_stream_commits_total[5m]))",
            "seconds each":
                "max(rate(ztad_stream_commit_seconds_total[5m]))"
                ' / max(rate(ztad_stream_commits_total{outcome="done"}[5m]))',
        }),
        Panel("Rebalances, repeated attempts", "short", {
            "{{outcome}}": "max by (outcome) (increase(ztad_stream_rebalances_total[1h]))",
            "attempts made again": "max(increase(ztad_stream_retries_total[1h]))",
        }, "An hour."),
        Panel("Who judged events of topics", "eps", {
            "{{variant}} {{version}} {{outcome}}":
                "max by (variant, version, outcome) (rate(ztad_stream_variant_events_total[5m]))",
        }),
        Panel("How rare events of topics are", "short", {
            "{{version}} one in 10^{{decade}}":
                "max by (version, decade) (increase(ztad_stream_variant_scores_total[1h]))",
        }, "An hour; one in ten ordinary events belongs to each step beyond the one before."),
        Panel("Events of topics over the threshold", "short", {
            "{{severity}} {{reason}}":
                "max by (severity, reason) (increase(ztad_stream_flagged_events_total[1h]))",
        }, "An hour, by severity and first reason."),
    ],
    "Alerts": [
        Panel("Alerts opened", "short", {
            "{{severity}} {{reason}}":
                "max by (severity, reason) (increase(ztad_alerts_opened_total[1h]))",
        }, "An hour."),
        Panel("Deliveries", "short", {
            "{{channel}} {{outcome}}":
                "max by (channel, outcome) (increase(ztad_alert_messages_total[1h]))",
        }, "An hour."),
        Panel("Messages still to be sent", "short", {
            "{{channel}} {{state}}":
                'max by (channel, state) (ztad_alert_messages{state=~"held|waiting|sending"})',
        }),
        Panel("Channels that work", "bool_on_off", {
            "{{channel}}": "min by (channel) (ztad_alert_channel_up)",
        }),
        Panel("Time of a step, p95", "s", {
            "{{step}}": p95("ztad_alert_step_seconds", "step", "max"),
        }),
        Panel("Not sent", "short", {
            "rules broken": "max(ztad_alert_rules_broken)",
            "{{why}}": "max by (why) (increase(ztad_alert_held_total[1h]))",
            "dropped by {{rule}}":
                "max by (rule) (increase(ztad_alert_dropped_events_total[1h]))",
        }, "An hour: alerts with news that were held, and events that a rule drops."),
        Panel("Feedback", "short", {
            "{{disposition}}": "max by (disposition) (increase(ztad_feedback_total[1d]))",
            "not heard by the history": "max(ztad_feedback_unheard)",
        }, "A day. Many safe ones of one reason: what is usual here has changed."),
    ],
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The document that Grafana imports."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row, members in ROWS.items():
        panels.append({"type": "row", "title": row, "gridPos": _place(0, top, COLUMNS, 1)})
        top += 1
        for index, panel in enumerate(members):
            line, column = divmod(index * WIDTH, COLUMNS)
            panels.append(_panel(panel, _place(column, top + line * HEIGHT, WIDTH, HEIGHT)))
        top += -(-len(members) * WIDTH // COLUMNS) * HEIGHT
    for number, each in enumerate(panels, 1):
        each["id"] = number
    return {
        "title": "ztad",
        "uid": "ztad",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"type": "datasource", "name": "source", "query": "prometheus"}]},
        "panels": panels,
    }


def text() -> str:
    """What is in :data:`FILE`."""
    return json.dumps(dashboard(), indent=1) + "\n"


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    targets = [
        {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": name}
        for index, (name, query) in enumerate(panel.queries.items())
    ]
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "gridPos": place,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


if __name__ == "__main__":
    FILE.write_text(text())
