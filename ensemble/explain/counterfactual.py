"""``Counterfactual``: what would have kept a flagged event quiet.

Every smallest set of changes (preprocessing/changes.py) is tried for real: the facts that follow
from a change become those of the event as its user usually makes it, then features, surprise,
detectors and combination are computed anew and held against the event's own threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

from ensemble.explain.asked import Asked
from ensemble.explain.changing import Changing, changing_of
from ensemble.explain.judge import UNIT, Features, Judge, Values
from ensemble.reasons import weights
from preprocessing.changes import CHANGES, Change, changed, changed_event
from preprocessing.features import measured
from preprocessing.trail import Trails, mark, steps
from preprocessing.typical import Typical
from preprocessing.values import values_of

#: Most changes at once: who has to imagine four different circumstances learns nothing.
MOST_CHANGES = 3
#: Most sets told.
MOST_TOLD = 5

Set = tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Tried:
    """Sets of changes, and the combined surprise (n,) and features (n, d) of the event after
    each."""

    sets: list[Set]
    surprise: Values
    features: Features


class Counterfactual:
    """Smallest sets of one, two or three changes that flip the verdict, the likeliest first.

    How likely a change is says the share of its usual value in the user's own events. Stateless,
    thread-safe, and the same for the same event.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def explain(self, asked: Asked) -> dict[str, Any]:
        """``status`` is ``found``, ``none`` (then ``nearest`` is told), ``not_flagged`` or
        ``unknown`` (nothing usual is kept to compare with), ready for JSON."""
        play = self._judge.play(asked)
        value = float(self._judge.surprise(play[np.newaxis], asked)[0])
        told = {
            "method": "counterfactual",
            "unit": UNIT,
            "value": value,
            "threshold": self._judge.threshold(asked),
            "counterfactuals": [],
            "nearest": None,
            "remaining": [],
        }
        if not asked.verdict.is_anomaly:
            return told | {"status": "not_flagged"}
        choices = changing_of(asked.evidence)
        if asked.evidence is None or not choices:
            return told | {"status": "unknown"}
        tried = self._try(asked, choices)
        found = _smallest(tried.sets, ~self._judge.flagged(tried.surprise, asked))
        if found:
            return told | {"status": "found", "counterfactuals": _told(found, tried, choices)}
        nearest = int(np.argmin(tried.surprise))
        return told | {
            "status": "none",
            "nearest": _told([nearest], tried, choices)[0],
            "remaining": [code for code, _ in weights(tried.features[nearest])],
        }

    def _try(self, asked: Asked, choices: dict[Change, Changing]) -> _Tried:
        evidence = asked.evidence
        assert evidence is not None
        typical = Typical.decode(evidence.typical)
        facts, usual = np.array(evidence.facts), np.array(typical.facts)
        sets = list(_sets([change for change in CHANGES if change in choices]))
        rows = np.stack([changed(facts, usual, each) for each in sets])
        lens = self._judge.spec.lens
        features = lens.surprise(measured(rows, lens.windows))
        trails = None if asked.trail is None else _trails(asked.trail, rows, asked, typical, sets)
        return _Tried(sets, self._judge.surprise_of(features, trails, asked), features)


def _sets(changes: Sequence[Change]) -> Iterator[Set]:
    """Every set of at most MOST_CHANGES, smaller ones first."""
    for size in range(1, MOST_CHANGES + 1):
        yield from combinations(changes, size)


def _smallest(sets: Sequence[Set], quiet: Any) -> list[int]:
    """Indices of quiet sets of which no part is quiet by itself."""
    found: list[int] = []
    for index in np.flatnonzero(quiet).tolist():
        if not any(set(sets[other]) < set(sets[index]) for other in found):
            found.append(index)
    return found


def _told(
    found: Sequence[int], tried: _Tried, choices: dict[Change, Changing]
) -> list[dict[str, Any]]:
    def rank(index: int) -> tuple[int, float]:
        changes = tried.sets[index]
        return len(changes), -prod(choices[change].share for change in changes)

    return [
        {
            "changes": [choices[change].told() for change in tried.sets[index]],
            "value": float(tried.surprise[index]),
            "share": prod(choices[change].share for change in tried.sets[index]),
        }
        for index in sorted(found, key=rank)[:MOST_TOLD]
    ]


def _trails(
    trail: Trails, facts: Values, asked: Asked, typical: Typical, sets: Sequence[Set]
) -> Trails:
    """The event's trail after each set of changes: what came before stays, its own step moves."""
    assert asked.evidence is not None
    event, marks = asked.evidence.event, bytearray()
    for changes in sets:
        marks += mark(event, values_of(changed_event(event, typical.event, changes)))
    trails = np.repeat(trail, len(sets), axis=0)
    trails[:, -1] = steps(facts, marks)
    return trails
