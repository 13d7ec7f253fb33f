"""Admit: which suspicious events raise alerts, and how severe the rules say they are."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from alerting.alert import Occurrence, rank, worst
from alerting.conditions import Matcher, facts_of_event
from alerting.rules import ReasonRule, Rules
from ensemble.verdict import Severity


class Admit:
    """Applies ``reasons``, then ``rules``, of the rules file. ``dropped`` counts by rule."""

    def __init__(self, rules: Rules, matcher: Matcher, dropped: Counter[str]) -> None:
        self._rules = rules
        self._matcher = matcher
        self._dropped = dropped

    def __call__(self, occurrence: Occurrence) -> Occurrence | None:
        main = occurrence.main
        own = self._rules.reason(main.code) if main is not None else None
        if own is not None:
            if _below(own, occurrence):
                self._dropped[f"reasons.{main.code if main else ''}"] += 1
                return None
            occurrence = replace(occurrence, severity=_bounded(own, occurrence.severity))
        for rule in self._rules.rules:
            if not self._matcher.holds(rule.when, facts_of_event(occurrence)):
                continue
            if rule.severity is None:
                self._dropped[f"rules.{rule.name}"] += 1
                return None
            occurrence = replace(occurrence, severity=rule.severity)
        return occurrence


def _below(own: ReasonRule, occurrence: Occurrence) -> bool:
    if own.score is not None and occurrence.verdict.score < own.score:
        return True
    return own.severity is not None and rank(occurrence.severity) < rank(own.severity)


def _bounded(own: ReasonRule, severity: Severity) -> Severity:
    least = worst((severity, own.at_least)) if own.at_least is not None else severity
    return min(least, own.at_most, key=rank) if own.at_most is not None else least
