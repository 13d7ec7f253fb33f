"""A shadow version against the versions that answered, event by event."""

from __future__ import annotations

from alerting.alert import SEVERITY_ORDER
from services.storage.base import Comparison, Disagreement
from services.storage.postgres.database import Connection
from services.storage.postgres.days import earliest_day

_PAIRS = """
    FROM shadow s JOIN bundles b USING (bundle)
    LEFT JOIN (SELECT * FROM verdicts WHERE day >= $3) v USING (event_id)
    WHERE b.version = $1 AND s.stamp >= $2
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
    {_PAIRS} AND (v.severity > 0) <> (s.severity > 0) ORDER BY s.stamp DESC, s.place DESC LIMIT $4
"""
_KINDS = {
    (True, True): "both", (False, True): "only_live", (True, False): "only_shadow",
    (False, False): "neither",
}  # fmt: skip


async def compare(connection: Connection, version: str, since_s: float) -> Comparison:
    """How often the two agreed, and the reasons of what only one of them flagged."""
    counts = dict.fromkeys((*_KINDS.values(), "unmatched"), 0)
    reasons: dict[str, dict[str, int]] = {"only_live": {}, "only_shadow": {}}
    rows = await connection.fetch(_COUNTS, version, since_s, earliest_day(since_s))
    for shadow, live, reason, count in rows:
        kind = "unmatched" if live is None else _KINDS[shadow, live]
        counts[kind] += count
        if kind in reasons and reason is not None:
            reasons[kind][reason] = count
    return Comparison(
        **counts, live_reasons=reasons["only_live"], shadow_reasons=reasons["only_shadow"]
    )


async def disagreements(
    connection: Connection, version: str, since_s: float, limit: int
) -> list[Disagreement]:
    """Events that only one of the two flagged, newest first."""
    values = (version, since_s, earliest_day(since_s), limit)
    return [
        Disagreement(
            event_id, stamp, SEVERITY_ORDER[live], live_reason, SEVERITY_ORDER[shadow], reason
        )
        for event_id, stamp, live, live_reason, shadow, reason in await connection.fetch(
            _DISAGREEMENTS, *values
        )
    ]
