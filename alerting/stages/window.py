"""Window: what was told a while ago is no news again, unless it has become more severe."""

from __future__ import annotations

from alerting.alert import WAVE, Alert, rank
from alerting.log import AlertLog, News
from alerting.rules import Rules
from alerting.stages.base import Notice


class Window:
    """Holds alerts all of whose fresh fingerprints were told within ``suppress``.

    Not waves: the next one has nothing in common with the last but its name.
    """

    def __init__(self, log: AlertLog, rules: Rules) -> None:
        self._log = log
        self._rules = rules

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        alert = notice.alert
        if alert.subject == WAVE:
            return notice
        told = await self._log.news(alert.fresh)
        if any(self._is_news(told.get(print_), alert, now_s) for print_ in alert.fresh):
            return notice
        return Notice(alert, held="suppressed: told shortly before")

    def _is_news(self, told: News | None, alert: Alert, now_s: float) -> bool:
        if told is None or rank(told.severity) < rank(alert.severity):
            return True
        return now_s - told.at_s >= self._rules.suppress_s(alert.severity)
