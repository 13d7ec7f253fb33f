"""Scoring in one process with everything kept that an explanation is made from."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.decision import Origin
from ensemble.explain.asked import Asked
from ensemble.scorer import Scorer
from preprocessing.event import AuthEvent
from preprocessing.prepare import prepare


def scored(scorer: Scorer, events: Sequence[AuthEvent], version: str, now_s: float) -> list[Asked]:
    """Each event as it is kept once scored, in order; ordinary ones are learned, as serving does
    after each batch."""
    seen = prepare(events, scorer.history, scorer.ensemble.spec.lens, now_s=now_s)
    raw = scorer.raw(seen.views)
    decided = scorer.ensemble.decide(seen.features, seen.context, raw, Origin(version))
    scorer.history.learn(decided.learn)
    return [
        Asked(verdict, seen.features[row], seen.context.shown(row))
        for row, verdict in enumerate(decided.verdicts)
    ]
