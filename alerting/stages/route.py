"""Route: which channels an alert goes to, by severity, reason, user, group, address and time."""

from __future__ import annotations

from dataclasses import replace

from alerting.conditions import Matcher, facts_of_alert
from alerting.rules import Rules
from alerting.stages.base import Notice


class Routed:
    """The first route that holds decides, and those after it while they say ``continue``."""

    def __init__(self, rules: Rules, matcher: Matcher) -> None:
        self._rules = rules
        self._matcher = matcher

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        facts = facts_of_alert(notice.alert, now_s)
        channels: dict[str, None] = {}
        taken = False
        for route in self._rules.routes:
            if self._matcher.holds(route.when, facts):
                taken = True
                channels |= dict.fromkeys(route.channels)
                if not route.proceed:
                    break
        names = tuple(channels) if taken else tuple(self._rules.otherwise)
        if not names:
            return replace(notice, held="unrouted: no route takes it")
        return replace(notice, channels=names)
