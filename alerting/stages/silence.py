"""Silence: what somebody has asked not to be told of for a while."""

from __future__ import annotations

from alerting.alert import Alert
from alerting.conditions import Condition, Matcher, facts_of_alert
from alerting.log import AlertLog, Matchers, Silence
from alerting.stages.base import Notice


class Silenced:
    """Holds alerts that a silence covers. All users, addresses and main
    reasons of an alert must be covered, not just one."""

    def __init__(self, log: AlertLog, matcher: Matcher) -> None:
        self._log = log
        self._matcher = matcher

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        for silence in await self._log.silences(now_s):
            if self._covers(silence, notice.alert, now_s):
                return Notice(notice.alert, held=f"silenced: {silence.silence_id}")
        return notice

    def _covers(self, silence: Silence, alert: Alert, now_s: float) -> bool:
        if silence.from_s > now_s:
            return False
        matchers = silence.matchers
        if matchers.no_other_reason and not alert.reasons.keys() <= set(matchers.reasons):
            return False
        condition = condition_of(matchers)
        return self._matcher.holds(condition, facts_of_alert(alert, now_s), every=True)


def condition_of(matchers: Matchers) -> Condition:
    """Matchers as a condition; raises pydantic's ValidationError for what cannot match."""
    given = {
        "users": list(matchers.users),
        "addresses": list(matchers.addresses),
        "reasons": list(matchers.reasons),
        "severity_below": matchers.severity_below,
    }
    return Condition.model_validate(given)
