"""Scored events as they are kept, for tests of explanations."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.explain.asked import Asked
from ensemble.explain.scoring import scored
from ensemble.scorer import Scorer
from models.bundle import Bundle
from preprocessing.event import AuthEvent

NOW_S = 4e9


def kept(bundle: Bundle, events: Sequence[AuthEvent], batch: int = 50) -> list[Asked]:
    """Every event scored, with what is kept of it."""
    scorer, asked = Scorer(bundle), []
    for start in range(0, len(events), batch):
        asked += scored(scorer, events[start : start + batch], bundle.version, NOW_S)
    return asked


def flagged(bundle: Bundle, events: Sequence[AuthEvent]) -> list[Asked]:
    return [asked for asked in kept(bundle, events) if asked.verdict.is_anomaly]
