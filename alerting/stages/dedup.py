"""Dedup: an event belongs to one alert, once, however often it is offered."""

from __future__ import annotations

from collections.abc import Sequence

from alerting.alert import Occurrence
from alerting.log import AlertLog


class Dedup:
    """Leaves out events that an alert has already, and repeats within the batch."""

    def __init__(self, log: AlertLog) -> None:
        self._log = log

    async def __call__(self, occurrences: Sequence[Occurrence]) -> list[Occurrence]:
        by_id = {each.verdict.event_id: each for each in reversed(occurrences)}
        known = await self._log.known(list(by_id))
        new = [each for event_id, each in by_id.items() if event_id not in known]
        return sorted(new, key=lambda each: (each.at_s, each.verdict.event_id))
