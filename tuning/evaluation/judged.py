"""Scored events beside what is known about them, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensemble.scorer import Scorer
from preprocessing.event import AuthEvent
from tuning.data import Labels

#: How the combination of all detectors is called beside them.
ENSEMBLE = "ensemble"
DAY_S = 86400.0

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]


@dataclass(slots=True)
class Scored:
    """Labelled events in order with their calibrated scores, and a count of what was left out.

    ``scores`` has one list for the ensemble and one for each detector; ``types`` is None for an
    ordinary event; ``at_s`` is seconds since 1970; ``campaigns`` and ``causes`` are empty text
    where there is none; ``places`` says which of all scored events each was. ``unlabelled`` and
    ``duplicates`` are in no metric.
    """

    event_ids: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    types: list[str | None] = field(default_factory=list)
    campaigns: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    flagged: list[bool] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    learning: int = 0
    late: int = 0
    unlabelled: int = 0
    duplicates: int = 0
    unmatched: int = 0
    """Labels whose event never came."""


def score_labelled(
    batches: Iterable[list[AuthEvent]], scorer: Scorer, labels: Labels, *, now_s: float
) -> Scored:
    """Score events as ``ztad score`` does, then look up what is known about them."""
    scored = Scored(scores={name: [] for name in (ENSEMBLE, *scorer.detectors)})
    met, place = 0, -1
    for batch in batches:
        for event, verdict in zip(batch, scorer.score(batch, now_s=now_s), strict=True):
            place += 1
            if verdict.duplicate:
                scored.duplicates += 1
                continue
            if not labels.knows(event.event_id):
                scored.unlabelled += 1
                continue
            met += event.event_id in labels.types
            scored.places.append(place)
            _add(scored, event, labels)
            scored.flagged.append(verdict.is_anomaly)
            scored.learning += verdict.learning
            scored.late += verdict.late
            for name, score in ((ENSEMBLE, verdict.score), *verdict.detectors.items()):
                scored.scores[name].append(score)
    scored.unmatched = len(labels.types) - met
    return scored


def _add(scored: Scored, event: AuthEvent, labels: Labels) -> None:
    """Everything but scores and alerts."""
    scored.event_ids.append(event.event_id)
    scored.users.append(event.user_id)
    scored.at_s.append(event.timestamp.timestamp())
    scored.types.append(labels.types.get(event.event_id))
    scored.campaigns.append(labels.campaigns.get(event.event_id, ""))
    scored.causes.append(labels.causes.get(event.event_id, ""))


@dataclass(frozen=True, slots=True)
class Named:
    """A column of texts as ``of`` (n,), places in ``names``; -1 where the text is empty."""

    names: tuple[str, ...]
    of: Index

    @classmethod
    def column(cls, texts: Sequence[str]) -> Named:
        names = tuple(sorted({text for text in texts if text}))
        place = {name: index for index, name in enumerate(names)} | {"": -1}
        return cls(names, np.array([place[text] for text in texts], np.intp))

    def __len__(self) -> int:
        return len(self.names)

    def sums(self, rows: Mask) -> Values:
        """How many of ``rows`` (n,) each name has."""
        return np.bincount(self.of[rows & (self.of >= 0)], minlength=len(self)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Judged:
    """n labelled events as columns (n,); ``scores`` by detector, ``at_s`` seconds since 1970.

    ``types`` and ``campaigns`` are known of anomalous events alone, ``causes`` of ordinary ones.
    """

    users: Named
    types: Named
    campaigns: Named
    causes: Named
    at_s: Values
    flagged: Mask
    scores: Mapping[str, Values]

    @classmethod
    def of(cls, scored: Scored) -> Judged:
        return cls(
            users=Named.column(scored.users),
            types=Named.column([kind or "" for kind in scored.types]),
            campaigns=Named.column(scored.campaigns),
            causes=Named.column(scored.causes),
            at_s=np.array(scored.at_s, np.float64),
            flagged=np.array(scored.flagged, np.bool_),
            scores={name: np.array(v, np.float64) for name, v in scored.scores.items()},
        )

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def anomalous(self) -> Mask:
        return np.asarray(self.types.of >= 0)

    @property
    def days(self) -> Index:
        """The UTC day of each event, counted from 1970."""
        return np.asarray(self.at_s // DAY_S, np.intp)

    @property
    def span_days(self) -> float:
        """From the first event to the last, one day at least."""
        return max(1.0, float(np.ptp(self.at_s)) / DAY_S) if len(self) else 1.0

    def user_days(self) -> tuple[Index, Index]:
        """User and day of every user-day: a user who had an event on that UTC day."""
        if not len(self):
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        pairs = np.unique(np.stack([self.users.of, self.days]), axis=1)
        return pairs[0], pairs[1]


def known_of(events: Sequence[AuthEvent], labels: Labels) -> Judged:
    """Events beside their labels, without any score."""
    scored = Scored(flagged=[False] * len(events))
    for event in events:
        _add(scored, event, labels)
    return Judged.of(scored)
