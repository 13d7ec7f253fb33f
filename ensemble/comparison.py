"""Two model versions on the same events: which alerts one has and the other has not, and why."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import UTC

import msgspec
import numpy as np
from numpy.typing import NDArray

from ensemble.metrics import average_precision, decisions, roc_auc
from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent

#: Differing events kept with their reasons, for each side.
MOST_EXAMPLES = 1000
#: A score may be so close to 1 that a double cannot tell; no event is rarer than this.
_LEAST = 1e-16


class Differing(msgspec.Struct, frozen=True):
    """An event over one version's threshold only; ``timestamp`` in UTC. ``reasons`` are those of
    the version that alerted, the weightiest first; ``anomalous`` is its label, None without one."""

    event_id: str
    user_id: str
    timestamp: str
    scores: tuple[float, float]
    severity: str
    codes: tuple[str, ...]
    text: str
    anomalous: bool | None


class Side(msgspec.Struct, frozen=True):
    """Alerts of one version that the other does not raise.

    ``reasons`` counts each event under its weightiest reason, so that they add up to ``events``;
    ``anomalous`` counts by label, None without labels. The rarest events come first.
    """

    events: int
    users: int
    reasons: dict[str, int]
    anomalous: int | None
    examples: list[Differing]


class Judged(msgspec.Struct, frozen=True):
    """How one version did: alerts, users with any, and with labels its rates and rankings."""

    alerts: int
    users: int
    precision: float | None = None
    recall: float | None = None
    roc_auc: float | None = None
    average_precision: float | None = None


class Comparison:
    """Adds up the verdicts of a first and a second version, batch by batch.

    Takes 25 bytes an event. A repeated event is left out.
    """

    def __init__(self) -> None:
        self._scores = (array("d"), array("d"))
        self._alerts = (bytearray(), bytearray())
        self._labels = bytearray()
        self._labelled = bytearray()
        self._users: tuple[set[str], set[str]] = (set(), set())
        self._sides = (_Side(), _Side())

    def add(
        self,
        events: Sequence[AuthEvent],
        verdicts: tuple[Sequence[Verdict], Sequence[Verdict]],
        labels: Sequence[bool | None],
    ) -> None:
        """The verdicts of both versions on some events, in their order; None: no label."""
        for event, label, *pair in zip(events, labels, *verdicts, strict=True):
            if pair[0].duplicate:
                continue
            self._labels.append(bool(label))
            self._labelled.append(label is not None)
            for which, verdict in enumerate(pair):
                self._scores[which].append(verdict.score)
                self._alerts[which].append(verdict.is_anomaly)
                if verdict.is_anomaly:
                    self._users[which].add(verdict.user_id)
            if pair[0].is_anomaly != pair[1].is_anomaly:
                which = int(pair[1].is_anomaly)
                self._sides[which].add(event, pair[which], (pair[0].score, pair[1].score), label)

    @property
    def events(self) -> int:
        return len(self._labels)

    @property
    def both(self) -> int:
        """Events that both versions alert on."""
        first, second = (np.frombuffer(alerts, np.bool_) for alerts in self._alerts)
        return int((first & second).sum())

    @property
    def lost(self) -> Side:
        """Alerts of the first version alone."""
        return self._sides[0].told(self._any_label)

    @property
    def gained(self) -> Side:
        """Alerts of the second version alone."""
        return self._sides[1].told(self._any_label)

    @property
    def users_affected(self) -> int:
        """Users with an alert of one version alone, counted once if of both."""
        return len(self._sides[0].users | self._sides[1].users)

    @property
    def judged(self) -> tuple[Judged, Judged]:
        return self._judged(0), self._judged(1)

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's, of the scores of both: 1 where they order all events alike. None where
        one of them gives every event the same score."""
        ranks = [_ranks(np.frombuffer(scores, np.float64)) for scores in self._scores]
        if any(len(rank) < 2 or rank.min() == rank.max() for rank in ranks):
            return None
        return float(np.corrcoef(ranks[0], ranks[1])[0, 1])

    @property
    def _any_label(self) -> bool:
        return any(self._labelled)

    def _judged(self, which: int) -> Judged:
        alerts = np.frombuffer(self._alerts[which], np.bool_)
        told = Judged(int(alerts.sum()), len(self._users[which]))
        known = np.frombuffer(self._labelled, np.bool_)
        if not known.any():
            return told
        labels = np.frombuffer(self._labels, np.bool_)[known]
        scores = np.frombuffer(self._scores[which], np.float64)[known]
        decided = decisions(alerts[known], labels)
        return msgspec.structs.replace(
            told,
            precision=decided.precision,
            recall=decided.recall,
            roc_auc=_or_none(roc_auc(scores, labels)),
            average_precision=_or_none(average_precision(scores, labels)),
        )


class _Side:
    def __init__(self) -> None:
        self._events = 0
        self.users: set[str] = set()
        self._reasons: Counter[str] = Counter()
        self._anomalous = 0
        self._examples: list[tuple[float, int, Differing]] = []

    def add(
        self, event: AuthEvent, alert: Verdict, scores: tuple[float, float], label: bool | None
    ) -> None:
        self._events += 1
        self.users.add(event.user_id)
        self._reasons[alert.reasons[0].code] += 1
        self._anomalous += bool(label)
        # Rarer than the threshold demands by this factor; the count keeps events uncompared.
        rarity = (1.0 - alert.threshold) / max(1.0 - alert.score, _LEAST)
        entry = (rarity, -self._events, _differing(event, alert, scores, label))
        if len(self._examples) < MOST_EXAMPLES:
            heapq.heappush(self._examples, entry)
        else:
            heapq.heappushpop(self._examples, entry)

    def told(self, any_label: bool) -> Side:
        return Side(
            events=self._events,
            users=len(self.users),
            reasons=dict(self._reasons.most_common()),
            anomalous=self._anomalous if any_label else None,
            examples=[example for *_, example in sorted(self._examples, reverse=True)],
        )


def _differing(
    event: AuthEvent, alert: Verdict, scores: tuple[float, float], label: bool | None
) -> Differing:
    return Differing(
        event_id=event.event_id,
        user_id=event.user_id,
        timestamp=event.timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        scores=scores,
        severity=alert.severity,
        codes=tuple(reason.code for reason in alert.reasons),
        text=alert.reasons[0].text,
        anomalous=label,
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places of the values in order, equal ones sharing theirs; shape (n,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return ranks


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
