"""Scored events as they are kept, for tests of explanations."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.decision import Origin
from ensemble.explain.asked import Asked
from ensemble.scorer import Scorer
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.prepare import prepare

NOW_S = 4e9


def kept(bundle: Bundle, events: Sequence[AuthEvent], batch: int = 50) -> list[Asked]:
    """Every event scored, with what is kept of it."""
    scorer, asked = Scorer(bundle), []
    for start in range(0, len(events), batch):
        some = events[start : start + batch]
        seen = prepare(some, scorer.history, scorer.ensemble.spec.lens, now_s=NOW_S)
        decided = scorer.ensemble.decide(
            seen.features, seen.context, scorer.raw(seen.views), Origin(bundle.version)
        )
        scorer.history.learn(decided.learn)
        evidence = seen.context.evidence
        asked += [
            Asked(verdict, seen.features[row], evidence.get(row))
            for row, verdict in enumerate(decided.verdicts)
        ]
    return asked


def flagged(bundle: Bundle, events: Sequence[AuthEvent]) -> list[Asked]:
    return [asked for asked in kept(bundle, events) if asked.verdict.is_anomaly]
