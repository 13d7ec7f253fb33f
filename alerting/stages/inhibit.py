"""Inhibit: whom an address failed to get in as is part of that address's alert."""

from __future__ import annotations

from alerting.alert import Alert, rank
from alerting.log import AlertLog
from alerting.rules import Grouping
from alerting.stages.base import Notice


class Inhibit:
    """Holds a user's alert while every address in it has an alert of its own that is as severe.

    Only failures are left to it: whatever succeeded is told by itself.
    """

    def __init__(self, log: AlertLog, grouping: Grouping) -> None:
        self._log = log
        self._grouping = grouping

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        alert = notice.alert
        failed = not alert.successes and alert.lead.succeeded is False
        if not failed or not alert.addresses or not alert.subject.startswith("user:"):
            return notice
        covers = [await self._log.latest(f"address:{address}") for address in alert.addresses]
        covering = [
            each for each in covers if each is not None and self._covers(each, alert, now_s)
        ]
        if len(covering) < len(alert.addresses):
            return notice
        return Notice(alert, held=f"inhibited: part of alert {covering[0].alert_id}")

    def _covers(self, cover: Alert, alert: Alert, now_s: float) -> bool:
        goes_on = self._grouping.goes_on(cover, now_s)
        told = cover.told_s is not None or cover.notify_s is not None
        return goes_on and told and rank(cover.severity) >= rank(alert.severity)
