"""Group: events of one user, or of one attacking address, become one alert with a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerting.alert import Alert, Occurrence, alert_id
from alerting.joining import joined, opened
from alerting.log import AlertLog
from alerting.rules import Grouping


@dataclass(frozen=True, slots=True)
class Grouped:
    """The alerts that took events, and those of them that were opened by it."""

    alerts: list[Alert]
    opened: list[Alert]


class Group:
    """Adds events to the open alert of their subject, or opens one."""

    def __init__(self, grouping: Grouping, log: AlertLog) -> None:
        self._grouping = grouping
        self._log = log

    async def __call__(self, occurrences: Sequence[Occurrence], now_s: float) -> Grouped:
        touched: dict[str, Alert] = {}
        opened_ids: set[str] = set()
        chains: list[tuple[str, Occurrence]] = []
        for occurrence in occurrences:
            subject = self._subject(occurrence)
            alert = touched.get(subject) or await self._open(subject, now_s)
            if alert is None:
                id_ = alert_id(subject, occurrence.verdict.event_id)
                opened_ids.add(id_)
                alert = opened(id_, subject, occurrence, self._grouping, now_s)
            else:
                alert = joined(alert, occurrence, self._grouping, now_s)
            touched[subject] = alert
            chains.append((alert.alert_id, occurrence))
        if touched:
            await self._log.join(list(touched.values()), chains)
        alerts = list(touched.values())
        return Grouped(alerts, [alert for alert in alerts if alert.alert_id in opened_ids])

    async def _open(self, subject: str, now_s: float) -> Alert | None:
        alert = await self._log.latest(subject)
        return alert if alert is not None and self._grouping.goes_on(alert, now_s) else None

    def _subject(self, occurrence: Occurrence) -> str:
        """Who an event is about. A success is always the user's, wherever it came from."""
        main = occurrence.main
        guessed = main is not None and main.code in self._grouping.by_address
        if guessed and occurrence.address and not occurrence.succeeded:
            return f"address:{occurrence.address}"
        return f"user:{occurrence.verdict.user_id}"
