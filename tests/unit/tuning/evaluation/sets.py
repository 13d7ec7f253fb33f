"""Small judged sets, written down event by event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tuning.evaluation.judged import DAY_S, ENSEMBLE, Judged, Scored


class Row(NamedTuple):
    """One event; ``day`` counts from 1970, in days and parts of them."""

    user: str
    day: float
    score: float
    kind: str = ""
    campaign: str = ""
    cause: str = ""
    flagged: bool = False


def judged(rows: Iterable[Row]) -> Judged:
    rows = list(rows)
    return Judged.of(
        Scored(
            event_ids=[str(n) for n in range(len(rows))],
            users=[row.user for row in rows],
            at_s=[row.day * DAY_S for row in rows],
            types=[row.kind or None for row in rows],
            campaigns=[row.campaign for row in rows],
            causes=[row.cause for row in rows],
            flagged=[row.flagged for row in rows],
            scores={ENSEMBLE: [row.score for row in rows]},
        )
    )
