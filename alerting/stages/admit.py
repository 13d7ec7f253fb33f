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
        if main is not None and own is not None and _below(own, occurrence):
            self._dropped[f"reasons.{main.code}"] += 1
            return None
        occurrence = replace(occurrence, severity=self._bounded(occurrence, own))
        for rule in self._rules.rules:
            if not self._matcher.holds(rule.when, facts_of_event(occurrence)):
                continue
            if rule.severity is None:
                self._dropped[f"rules.{rule.name}"] += 1
                return None
            occurrence = replace(occurrence, severity=rule.severity)
        return occurrence

    def _bounded(self, occurrence: Occurrence, own: ReasonRule | None) -> Severity:
        rules = [self._rules.reason(reason.code) for reason in occurrence.verdict.reasons]
        least = [rule.at_least for rule in rules if rule is not None and rule.at_least is not None]
        severity = worst((occurrence.severity, *least))
        return min(severity, own.at_most, key=rank) if own and own.at_most else severity


def _below(own: ReasonRule, occurrence: Occurrence) -> bool:
    if own.score is not None and occurrence.verdict.score < own.score:
        return True
    return own.severity is not None and rank(occurrence.severity) < rank(own.severity)
