"""A shadow version against the versions that answered, event by event."""

from __future__ import annotations

import sqlite3

from alerting.alert import SEVERITY_ORDER
from services.storage.base import Comparison, Disagreement

_PAIRS = """
    FROM shadow s JOIN bundles b USING (bundle) LEFT JOIN verdicts v USING (event_id)
    WHERE b.version = ? AND s.stamp >= ?
"""
_COUNTS = f"""
    SELECT s.severity > 0, v.severity > 0,
        CASE WHEN v.severity > 0 AND s.severity = 0 THEN v.reason
             WHEN v.severity = 0 AND s.severity > 0 THEN s.reason END AS reason,
        count(*)
    {_PAIRS} GROUP BY 1, 2, 3
"""
_DISAGREEMENTS = f"""
    SELECT event_id, s.stamp, v.severity, v.reason, s.severity, s.reason
    {_PAIRS} AND (v.severity > 0) <> (s.severity > 0) ORDER BY s.stamp DESC, s.place DESC LIMIT ?
"""
_KINDS = {(1, 1): "both", (0, 1): "only_live", (1, 0): "only_shadow", (0, 0): "neither"}


def compare(connection: sqlite3.Connection, version: str, since_s: float) -> Comparison:
    """How often the two agreed, and the reasons of what only one of them flagged."""
    counts = dict.fromkeys((*_KINDS.values(), "unmatched"), 0)
    reasons: dict[str, dict[str, int]] = {"only_live": {}, "only_shadow": {}}
    for shadow, live, reason, count in connection.execute(_COUNTS, (version, since_s)):
        kind = "unmatched" if live is None else _KINDS[shadow, live]
        counts[kind] += count
        if kind in reasons and reason is not None:
            reasons[kind][reason] = count
    return Comparison(
        **counts, live_reasons=reasons["only_live"], shadow_reasons=reasons["only_shadow"]
    )


def disagreements(
    connection: sqlite3.Connection, version: str, since_s: float, limit: int
) -> list[Disagreement]:
    """Events that only one of the two flagged, newest first."""
    rows = connection.execute(_DISAGREEMENTS, (version, since_s, limit))
    return [
        Disagreement(
            event_id, stamp, SEVERITY_ORDER[live], live_reason, SEVERITY_ORDER[shadow], reason
        )
        for event_id, stamp, live, live_reason, shadow, reason in rows
    ]
