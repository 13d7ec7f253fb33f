"""Record: what became of an alert that had something new to tell."""

from __future__ import annotations

from msgspec.structs import replace

from alerting.log import AlertLog, News
from alerting.stages.base import Notice


class Record:
    """Saves the alert with its deliveries, or with why it is held. What is held stays news."""

    def __init__(self, log: AlertLog) -> None:
        self._log = log

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        alert = notice.alert
        if notice.held:
            kept = replace(alert, notify_s=None, held=notice.held)
            await self._log.told(kept, (), {})
            return notice
        told = replace(
            alert,
            notify_s=None,
            held="",
            fresh=(),
            told_s=now_s,
            revision=alert.revision + 1,
        )
        news = {print_: News(now_s, alert.severity) for print_ in alert.fingerprints}
        await self._log.told(told, notice.deliveries, news)
        return notice
