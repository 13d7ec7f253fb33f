"""Verdicts on their way to a store, as tests want them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from ensemble.verdict import Reason, Verdict
from preprocessing.event import AuthEvent
from preprocessing.history import Evidence, Usual
from services.wire import Recorded

COLUMNS = 3
DETECTORS = {"isolation_forest": 0.25, "one_class_svm": 0.5, "autoencoder": 0.125}


def verdict(event_id: str, severity: Any = "info", reason: str = "", **fields: Any) -> Verdict:
    """An ordinary verdict, or with a severity one over the threshold."""
    flagged = severity != "info"
    told = (Reason(reason, "9,940 km", "Singapore", "Berlin", "T1078", 0.5),) if reason else ()
    given: dict[str, Any] = {
        "user_id": "ann",
        "score": 0.9995 if flagged else 0.5,
        "is_anomaly": flagged,
        "threshold": 0.999,
        "severity": severity,
        "reasons": told,
        "detectors": DETECTORS,
        "variant": "champion",
        "model_version": "v1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return Verdict(event_id=event_id, **given | fields)


def batch(
    *verdicts: Verdict,
    at_s: float = 1000.0,
    address: str = "192.0.2.7",
    evidence: Mapping[int, bytes] | None = None,
    **fields: Any,
) -> Recorded:
    """These verdicts; their events happened one a second from ``at_s`` on.

    The features of row n are n, n + 1, ... in each of :data:`COLUMNS` columns.
    """
    rows = np.arange(len(verdicts))
    events = [event_of(each, at_s + row, address) for row, each in enumerate(verdicts)]
    return Recorded(
        event_ids=[each.event_id for each in verdicts],
        verdicts=[encoded(each) for each in verdicts],
        columns=COLUMNS,
        values=(rows[:, None] + np.arange(COLUMNS)).astype(np.float32).tobytes(),
        stamps=(at_s + rows).astype(np.float64).tobytes(),
        addresses=[address] * len(verdicts),
        evidence=dict(evidence or {}),
        alerts=[row for row, each in enumerate(verdicts) if each.is_anomaly],
        **{"version": "v1", "path": "bundles/v1", "events": events} | fields,
    )


def event_of(one: Verdict, at_s: float = 1000.0, address: str = "192.0.2.7") -> bytes:
    """The event of a verdict in a :func:`batch`, encoded."""
    at = datetime.fromtimestamp(at_s, UTC)
    return msgspec.msgpack.encode(
        AuthEvent(at, one.user_id, "success", one.event_id, source_ip=address)
    )


def encoded(one: Verdict) -> bytes:
    return msgspec.json.encode(one)


def values(row: int) -> bytes:
    """The features of a row of :func:`batch`."""
    return (row + np.arange(COLUMNS)).astype(np.float32).tobytes()


def evidence_of(event_id: str) -> bytes:
    """The encoded baseline behind an event."""
    event = AuthEvent(datetime(2026, 11, 2, 9, tzinfo=UTC), "ann", "success", event_id)
    usual = {"country": Usual("DE", 212, 212, 1)}
    return msgspec.msgpack.encode(Evidence(event, (1.5, 2.5), None, 212, 60.0, usual, (8, 9), 0.0))
