"""Group: events of one user, one attacking address or one wave become one alert with a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerting.alert import Alert, Occurrence, alert_id
from alerting.joining import involving, joined, opened
from alerting.log import AlertLog
from alerting.rules import Grouping
from alerting.subjects import Subjects


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
        subjects = Subjects(self._log, self._grouping, now_s)
        ids: set[str] = set()
        chains: list[tuple[str, Occurrence]] = []
        for occurrence in occurrences:
            subject = await subjects.of(occurrence)
            alert = await subjects.open(subject)
            if alert is None:
                id_ = alert_id(subject, occurrence.verdict.event_id)
                alert = opened(id_, subject, occurrence, self._grouping, now_s)
                if subject != f"user:{occurrence.verdict.user_id}":
                    alert = involving(alert, subjects.related)
                ids.add(id_)
            else:
                alert = joined(alert, occurrence, self._grouping, now_s)
            subjects.touched[subject] = alert
            chains.append((alert.alert_id, occurrence))
        alerts = list(subjects.touched.values())
        if alerts:
            await self._log.join(alerts, chains)
        return Grouped(alerts, [alert for alert in alerts if alert.alert_id in ids])
