"""Events -> a trained ensemble: detectors, calibration, threshold, and the history as of the last.

Training runs over the events twice. The first pass learns every habit, attackers' too, and finds
the events that look ordinary (tuning/ordinary.py). A provisional ensemble is fitted to those; the
second pass learns only what it leaves alone, exactly as serving will, and the detectors are fitted
to the features of the ordinary events as they are then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensemble.budget import (
    DEFAULT_BUDGET,
    events_per_active_user_day,
    kind_thresholds,
    threshold_for,
)
from ensemble.calibration import Calibration
from ensemble.calibration import fit as fit_calibration
from ensemble.combine import HEEDING, Method, combine, surprise
from ensemble.decision import EnsembleSpec
from models import DETECTORS, resolve
from models.base import Detector, View
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import DEFAULT_WINDOWS, Windows, measured, needed_facts, plain
from preprocessing.history import Facts
from preprocessing.surprise import Surprise
from preprocessing.surprise import fit as fit_surprise
from preprocessing.trail import Trails
from tuning.ordinary import ordinary, warm
from tuning.weighing import EQUAL, LEAST_DETECTORS, LEAST_EVENTS, Weighing, weigh

T = TypeVar("T", bound=np.generic)
Features = NDArray[np.float32]
Views = Mapping[View, NDArray[Any]]
"""What detectors see of n events."""
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

#: Events between two calls of ``learn``; serving learns about as often under load.
LEARN_EVERY = 250
#: Fewest calls of ``learn`` in a training, so that a small one learns anything on the way.
LEAST_LEARNINGS = 100
#: Detectors that fit in a second or two, for the provisional ensemble.
FAST = frozenset({"isolation_forest", "one_class_svm"})
#: Share of ordinary events that the second pass may leave unlearned; stricter than any budget,
#: because in training nobody gives feedback.
UNLEARNED_SHARE = 0.02
#: Share of the plain events that the second pass learns at least, by how they looked in the first:
#: where only the most ordinary half is fitted to, the rest seems rarer than it is, and a baseline
#: that never learns what is ordinary but rare finds it strange for good.
LEARNED_SHARE = 0.8
#: Most events the detectors are fitted to; more change nothing but the time it takes.
MOST_ROWS = 20_000
#: Share of the ordinary training events before the slice in which detectors are weighed, and most
#: of them that are fitted to for that.
WEIGHED_FROM = 0.7
WEIGHING_ROWS = 6_000
#: Events sampled as background for explanations.
BACKGROUND_ROWS = 100
#: Points of the table of training scores.
SCORE_POINTS = 1001


class TrainingError(ValueError):
    """Events from which nothing can be trained, and what is needed instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """``budget`` is alerts per 1,000 active users per day; ``parameters`` are detector keywords;
    within ``windows`` features count."""

    budget: float = DEFAULT_BUDGET
    method: Method = "tail"
    """How surprises are combined. ``tail`` and ``weighted`` heed weights; without any given here,
    each detector is weighed (tuning/weighing.py)."""
    weights: Mapping[str, float] = field(default_factory=dict)
    detectors: tuple[str, ...] = tuple(DETECTORS)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    windows: Windows = DEFAULT_WINDOWS
    seed: int = 0

    def threshold(self, events: Sequence[AuthEvent]) -> float:
        """The score above which ordinary events like these make no more alerts than budgeted."""
        return threshold_for(self.budget, events_per_active_user_day(events))


@dataclass(frozen=True, slots=True)
class Trained:
    """All that a bundle needs. ``background`` is float32 (<= BACKGROUND_ROWS, n_features)."""

    detectors: dict[str, Detector]
    spec: EnsembleSpec
    history: bytes
    background: Features
    score_quantiles: list[float]
    """Calibrated score of the training events at evenly spaced quantiles, ordinary or not, but for
    the first, in which everything is new to everybody."""
    detector_quantiles: dict[str, list[float]]
    """The same for each detector's own calibrated score."""
    set_aside: float
    """Share of the events that were kept out as not ordinary."""
    weighing: Weighing = EQUAL
    """How the detectors' weights were chosen."""


Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Habits:
    """Facts (n, len(FACTS)) of events in order: ``first`` of the training events as the first pass
    saw them, ``facts`` of those and of later ones as the second did, with their ``trails``."""

    first: Values
    facts: Values
    trails: Trails

    def features(self, windows: Windows) -> Features:
        """Features of every event."""
        return measured(self.facts, windows)

    def ordinary(self, known: Mask, windows: Windows) -> Mask:
        """Which training events (n,) to fit to; ``known`` ones are anomalous."""
        chosen = _some(ordinary(measured(self.first, windows), known), ~known)
        return _some(chosen & plain(self.features(windows)[: len(known)]), chosen)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Detectors on the surprise of features, and their calibration."""

    surprise: Surprise
    detectors: dict[str, Detector]
    calibrations: dict[str, Calibration]
    combined: Calibration
    settings: TrainingSettings

    def raw(self, features: Features, trails: Trails) -> dict[str, Values]:
        """Every detector's raw score of features (n, d) and trails (n, LENGTH, WIDTH)."""
        views: Views = {"features": self.surprise(features), "trails": trails}
        return _raw(self.detectors, views)

    def combine(self, raw: Mapping[str, Values]) -> Values:
        """Combined surprise (n,)."""
        return _combined(raw, self.calibrations, self.settings)

    def exceedance(self, features: Features, trails: Trails) -> Values:
        """Share of ordinary events that score higher (n,)."""
        return self.combined.exceedance(self.combine(self.raw(features, trails)))


def train(
    events: Sequence[AuthEvent],
    *,
    settings: TrainingSettings,
    anomalous: frozenset[str] = frozenset(),
    step: Step = lambda name: None,
) -> Trained:
    """Fit everything to events (any order). ``anomalous`` ids, if known, are kept out.

    Raises :class:`TrainingError` when there is no event, and
    :class:`preprocessing.features.UnknownWindow`.
    """
    needed_facts(settings.windows)
    if not events:
        raise TrainingError("no events to train on; give at least one day of ordinary logins")
    ordered = sorted(events, key=lambda event: event.timestamp)
    known = np.array([event.event_id in anomalous for event in ordered], np.bool_)
    found, history = habits(ordered, known, settings, step=step)
    return _finish(ordered, known, found, history.snapshot(seen=False), settings, step)


def habits(
    ordered: Sequence[AuthEvent],
    known: Mask,
    settings: TrainingSettings,
    *,
    later: Sequence[AuthEvent] = (),
    step: Step = lambda name: None,
) -> tuple[Habits, EmbeddedHistory]:
    """Both passes over training events in order; then ``later`` ones, which are learned as in
    serving: all but what the provisional ensemble alerts. ``known`` (n,) are anomalous."""
    step("learning habits")
    first, trails, _ = _run(ordered, settings, lambda rows, x, facts: ~known[rows] & plain(x))
    features = measured(first, settings.windows)
    chosen = _some(ordinary(features, known), ~known)
    step("fitting a provisional ensemble")
    provisional = fit(features[chosen], trails[chosen], _fast(settings))
    teaching = _some(plain(features) & ~known, ~known)
    looked = provisional.exceedance(features[teaching], trails[teaching])
    share = min(UNLEARNED_SHARE, float(np.quantile(looked, 1.0 - LEARNED_SHARE)))
    unlearned = np.full(len(ordered) + len(later), share)
    unlearned[len(ordered) :] = 1.0 - settings.threshold(ordered)
    kept_out = np.concatenate([known, np.zeros(len(later), np.bool_)])
    step("learning habits again, without what looks strange")
    facts, trails, history = _run(
        [*ordered, *later],
        settings,
        # As serving does: of users in learning mode all that is plain, or nothing could begin.
        lambda rows, x, now: (
            ~kept_out[rows]
            & plain(x)
            & (now.learning | (provisional.exceedance(x, now.trails) > unlearned[rows]))
        ),
    )
    return Habits(first, facts, trails), history


def _finish(
    events: Sequence[AuthEvent],
    known: Mask,
    found: Habits,
    history: bytes,
    settings: TrainingSettings,
    step: Step,
) -> Trained:
    features = found.features(settings.windows)
    chosen = found.ordinary(known, settings.windows)
    weighing = weighed(features, found.trails, chosen, known, settings, step)
    settings = replace(settings, weights=weighing.weights)
    fitted = fit(features[chosen], found.trails[chosen], settings, step)
    step("calibrating")
    raw = fitted.raw(features, found.trails)
    overall = fitted.combined(fitted.combine(raw))
    threshold = settings.threshold(events)
    kinds = [event.auth_kind for event, use in zip(events, chosen, strict=True) if use]
    spec = EnsembleSpec(
        method=settings.method,
        weights=dict(settings.weights),
        detectors=fitted.calibrations,
        combined=fitted.combined,
        budget=settings.budget,
        threshold=threshold,
        surprise=fitted.surprise,
        windows=settings.windows,
        kind_thresholds=kind_thresholds(overall[chosen], kinds, threshold),
    )
    told = warm(len(events))
    each = {name: fitted.calibrations[name](values) for name, values in raw.items()}
    return Trained(
        detectors=fitted.detectors,
        spec=spec,
        history=history,
        background=fitted.surprise(_sample(features[chosen], BACKGROUND_ROWS, settings.seed)),
        score_quantiles=_quantiles(overall[told]),
        detector_quantiles={name: _quantiles(scores[told]) for name, scores in each.items()},
        set_aside=1.0 - float(chosen.mean()),
        weighing=weighing,
    )


def weighed(
    features: Features,
    trails: Trails,
    chosen: Mask,
    known: Mask,
    settings: TrainingSettings,
    step: Step = lambda name: None,
) -> Weighing:
    """Weights by what detectors fitted to the earlier ``chosen`` events find among the later ones
    and the ``known`` anomalies between them: features (n, d), trails and masks (n,) in order.

    Those given, if any are; equal ones where nothing heeds them or there is too little to choose
    by.
    """
    rows = np.flatnonzero(chosen)
    cut = round(WEIGHED_FROM * len(rows))
    few = len(settings.detectors) < LEAST_DETECTORS or len(rows) - cut < LEAST_EVENTS
    if settings.weights:
        return Weighing(dict(settings.weights), "given")
    if few or settings.method not in HEEDING:
        return EQUAL
    step("weighing detectors")
    early = _sample(rows[:cut], WEIGHING_ROWS, settings.seed)
    fitted = fit(features[early], trails[early], settings)
    later = np.flatnonzero((chosen | known) & (np.arange(len(known)) >= rows[cut]))
    raw = fitted.raw(features[later], trails[later])
    found = {name: surprise(fitted.calibrations[name].exceedance(raw[name])) for name in raw}
    return weigh(found, known[later])


def fit(
    rows: Features,
    trails: Trails,
    settings: TrainingSettings,
    step: Step = lambda name: None,
) -> Fitted:
    """Surprise, detectors and calibrations on the features (n, d) and the trails (n, LENGTH, WIDTH)
    of ordinary events."""
    surprise_of = fit_surprise(rows)
    views: Views = {"features": surprise_of(rows), "trails": trails}
    sample = {view: _sample(seen, MOST_ROWS, settings.seed) for view, seen in views.items()}
    detectors: dict[str, Detector] = {}
    for name in settings.detectors:
        step(f"fitting {name}")
        detector = _detector(name, settings)
        detectors[name] = detector.fit(sample[detector.sees])
    raw = _raw(detectors, views)
    calibrations = {name: fit_calibration(values) for name, values in raw.items()}
    combined = fit_calibration(_combined(raw, calibrations, settings))
    return Fitted(surprise_of, detectors, calibrations, combined, settings)


def _run(
    events: Sequence[AuthEvent],
    settings: TrainingSettings,
    learnable: Callable[[slice, Features, Facts], Mask],
) -> tuple[Values, Trails, EmbeddedHistory]:
    """Facts and trail of every event in order, learning block by block what ``learnable`` allows
    of the rows, by their features and what else is known."""
    history = EmbeddedHistory()
    blocks, trails = [], []
    size = max(1, min(LEARN_EVERY, len(events) // LEAST_LEARNINGS))
    for start in range(0, len(events), size):
        block = events[start : start + size]
        rows = slice(start, start + len(block))
        facts = history.observe(block, now_s=block[-1].timestamp.timestamp())
        features = measured(facts.values, settings.windows)
        allowed = learnable(rows, features, facts)
        history.learn(event.event_id for event, ok in zip(block, allowed, strict=True) if ok)
        blocks.append(facts.values)
        trails.append(facts.trails)
    return np.concatenate(blocks), np.concatenate(trails), history


def _raw(detectors: Mapping[str, Detector], views: Views) -> dict[str, Values]:
    return {name: detector.score(views[detector.sees]) for name, detector in detectors.items()}


def _combined(
    raw: Mapping[str, Values], calibrations: Mapping[str, Calibration], settings: TrainingSettings
) -> Values:
    surprises = np.stack([surprise(calibrations[name].exceedance(raw[name])) for name in raw])
    return combine(surprises, list(raw), method=settings.method, weights=settings.weights)


def _detector(name: str, settings: TrainingSettings) -> Detector:
    build: Callable[..., Detector] = resolve(name)
    return build(**{"seed": settings.seed, **settings.parameters.get(name, {})})


def _fast(settings: TrainingSettings) -> TrainingSettings:
    """The same with the fast detectors alone, where there are any: the others would cost seconds
    in the provisional ensemble and change nothing."""
    fast = tuple(name for name in settings.detectors if name in FAST)
    return replace(settings, detectors=fast or settings.detectors)


def _some(wanted: Mask, otherwise: Mask) -> Mask:
    """The first of both that has any rows, or all: better a poor model of what there is than
    none."""
    return next((mask for mask in (wanted, otherwise) if mask.any()), np.ones_like(wanted))


def _sample(rows: NDArray[T], most: int, seed: int) -> NDArray[T]:
    return rows[np.random.default_rng(seed).permutation(len(rows))[:most]]


def _quantiles(scores: Values) -> list[float]:
    return [float(q) for q in np.quantile(scores, np.linspace(0.0, 1.0, SCORE_POINTS))]
