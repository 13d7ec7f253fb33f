"""What a search maximises: the share of anomalies caught at the alert budget, on later events.

Events are cut in time order into three slices. Detectors, calibration and threshold come from the
training slice alone; the objective is taken on the validation slice after it; the held-out slice
after that is never seen by a search. Labels only judge: training does without, so that what is
found also works where nobody labels.

A threshold promises a budget, and a choice that fits the training slice too tightly breaks it: on
later events it alerts more, attacks among them. Recall at the threshold alone would reward that.
So the objective is the recall, reduced in proportion where ordinary events make more alerts than
promised and than the default parameters make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ensemble.metrics import average_precision
from preprocessing.event import AuthEvent
from preprocessing.surprise import fit as fit_surprise
from preprocessing.trail import Trails
from tuning.counting import Users, alerts, objective, recall, resampled, with_made
from tuning.data import Labels
from tuning.excursions import excursions, shown
from tuning.space import Choice, chosen
from tuning.train import (
    Features,
    Habits,
    Mask,
    Step,
    TrainingError,
    TrainingSettings,
    Values,
    fit,
    habits,
)

#: Ends of the training and of the validation slice, as shares of the events.
TRAINING_SHARE, VALIDATION_SHARE = 0.6, 0.8
#: Fewest events of a slice: a fifth of them has to hold a few anomalies.
LEAST_EVENTS = 500
#: Parts of the detectors' effort at which a trial reports, percent. With a ninth of it the order
#: of choices had nothing to do with that at full effort (rank correlation 0.18 for the Isolation
#: Forest, -0.07 for the One-Class SVM, ``seedlike-dirty``); with a third it was 0.32 and 0.82.
EFFORTS = (33, 66, 100)
#: Resamples of users behind an objective.
RESAMPLES = 200

Metrics = dict[str, float]


class TuningError(TrainingError):
    """Events or labels that cannot be searched with, and what is needed instead."""


@dataclass(frozen=True, slots=True)
class Slices:
    """Events in time order, cut in three."""

    training: list[AuthEvent]
    validation: list[AuthEvent]
    held_out: list[AuthEvent]


@dataclass(frozen=True, slots=True)
class TrialData:
    """What every trial shares, so that it only fits detectors: numbers, no events.

    ``habits`` are those of the training slice of n events and of the validation slice of m after
    it. ``judged`` (m,) says which of these count, ``anomalous`` (m,) which of them are to be
    caught; where nobody labelled any, ``made`` (k, d) excursions are, after what ``made_trails``
    (k, LENGTH, WIDTH) tell. ``allowed`` is how many
    alerts per 1,000 user-days ordinary events may make without a reduction.
    """

    habits: Habits
    training: int
    threshold: float
    users: Users
    judged: Mask
    anomalous: Mask
    made: Features
    made_trails: Trails
    allowed: float
    seed: int

    @property
    def labelled(self) -> bool:
        return len(self.made) == 0


def slices(events: Sequence[AuthEvent]) -> Slices:
    """Events (any order) as three slices; raises :class:`TuningError` for too few."""
    if len(events) < LEAST_EVENTS:
        problem = f"{len(events):,} events are too few to search with"
        raise TuningError(f"{problem}; give at least {LEAST_EVENTS}")
    ordered = sorted(events, key=lambda event: event.timestamp)
    first, second = (round(len(ordered) * s) for s in (TRAINING_SHARE, VALIDATION_SHARE))
    return Slices(ordered[:first], ordered[first:second], ordered[second:])


def trial_data(
    parts: Slices,
    labels: Labels | None,
    settings: TrainingSettings,
    step: Step = lambda name: None,
) -> TrialData:
    """The costly part of a training, done once: what was known before each event.

    What is learned of later events follows the default windows, whatever a trial chooses.
    """
    training, later = parts.training, parts.validation
    nothing_known = np.zeros(len(training), np.bool_)
    found, _ = habits(training, nothing_known, settings, later=later, step=step)
    judged, anomalous = truth(later, labels, "validation")
    made, made_trails = np.empty((0, 0), np.float32), found.trails[:0]
    if labels is None:
        features = found.features(settings.windows)
        ordinary = features[: len(training)][found.ordinary(nothing_known, settings.windows)]
        surprise = fit_surprise(ordinary)
        made, drawn = excursions(features[len(training) :], surprise, seed=settings.seed)
        made_trails = shown(found.trails[len(training) :][drawn], made)
    return TrialData(
        habits=found,
        training=len(training),
        threshold=settings.threshold(training),
        users=Users.of_events(later, judged),
        judged=judged,
        anomalous=anomalous,
        made=made,
        made_trails=made_trails,
        allowed=settings.budget,
        seed=settings.seed,
    )


def evaluations(choice: Choice, data: TrialData, settings: TrainingSettings) -> Iterator[Metrics]:
    """Metrics of a choice at growing effort, the last with all of it; ``effort`` in percent.

    Raises ``models.base.InvalidParameter`` for a choice that a detector refuses.
    """
    for effort, rarity in _rarities(choice, data, settings):
        yield judge(rarity, data) | {"effort": effort}


def baseline(choice: Choice, data: TrialData, settings: TrainingSettings) -> list[Metrics]:
    """Metrics of the default choice, by which others are measured: it may alert as it does."""
    found = list(_rarities(choice, data, settings))
    measured = with_baseline(data, judge(found[-1][1], data))
    return [judge(rarity, measured) | {"effort": effort} for effort, rarity in found]


@dataclass(frozen=True, slots=True)
class Rarity:
    """Share of ordinary events that score higher than each later one (m,), and than each made
    one (k,)."""

    later: Values
    made: Values


def judge(rarity: Rarity, data: TrialData) -> Metrics:
    """What is caught and what is falsely alerted among the validation events.

    ``objective`` is its mean over resamples of users: few users are few alerts, and one more or
    less of those should not decide.
    """
    share = 1.0 - data.threshold
    counts = data.users.counts(rarity.later < share, data.judged, data.anomalous)
    strange = rarity.later[data.judged & data.anomalous]
    if not data.labelled:
        counts = with_made(counts, rarity.made < share)
        strange = rarity.made
    usual = rarity.later[data.judged & ~data.anomalous]
    drawn = resampled(counts, RESAMPLES, seed=data.seed)
    scores = -np.log10(np.concatenate([strange, usual]))
    return {
        "objective": float(objective(drawn, data.allowed).mean()),
        "recall": float(recall(counts.sum(axis=0))),
        "alerts_per_1000": float(alerts(counts.sum(axis=0))),
        "average_precision": float(
            average_precision(scores, np.arange(len(scores)) < len(strange))
        ),
    }


def with_baseline(data: TrialData, default: Metrics) -> TrialData:
    """The same, allowing as many alerts on ordinary events as the default parameters make."""
    return replace(data, allowed=max(data.allowed, default["alerts_per_1000"]))


def _rarities(
    choice: Choice, data: TrialData, settings: TrainingSettings
) -> Iterator[tuple[float, Rarity]]:
    windows = chosen(choice, settings).windows
    features = data.habits.features(windows)
    nothing_known = np.zeros(data.training, np.bool_)
    rows = np.flatnonzero(data.habits.ordinary(nothing_known, windows))
    trails = data.habits.trails
    for effort in EFFORTS:
        fitted = fit(features[rows], trails[rows], chosen(choice, settings, effort=effort / 100.0))
        later = fitted.exceedance(features[data.training :], trails[data.training :])
        made = np.empty(0)
        if not data.labelled:
            made = fitted.exceedance(data.made, data.made_trails)
        yield float(effort), Rarity(later, made)


def truth(
    events: Sequence[AuthEvent], labels: Labels | None, name: str
) -> tuple[Mask, NDArray[np.bool_]]:
    """Which events (n,) are judged, and which are anomalous; raises :class:`TuningError` if no
    labelled one is anomalous, or none is ordinary."""
    if labels is None:
        return np.ones(len(events), np.bool_), np.zeros(len(events), np.bool_)
    ids = labels.anomalous
    judged = np.array([labels.knows(event.event_id) for event in events], np.bool_)
    anomalous = np.array([event.event_id in ids for event in events], np.bool_)
    if not anomalous.any() or not (judged & ~anomalous).any():
        missing = "ordinary" if anomalous.any() else "anomalous"
        span = f"{events[0].timestamp:%Y-%m-%d %H:%M} to {events[-1].timestamp:%Y-%m-%d %H:%M}"
        raise TuningError(
            f"no event of the {name} slice ({span}) is labelled {missing}; "
            "give labels of those days, or none at all"
        )
    return judged, anomalous
