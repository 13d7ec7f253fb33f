"""Events -> a trained ensemble: detectors, calibration, threshold, and the history as of the last.

Training data is never clean. Three things keep what is in it from becoming ordinary:

1. Events that nobody would call ordinary (``Feature.never_ordinary``, levels from published rules)
   are neither learned nor fitted.
2. A first pass over the events ranks them by the plain sum of their features, which no amount of
   contamination can bend. A provisional ensemble is fitted to what looks ordinary, and a second
   pass learns only what that ensemble leaves alone, exactly as serving will.
3. If much more is strange than any ordinary tail explains (``HEAVY_SHARE``), the detectors are
   fitted to the most ordinary half alone, and calibrated without the strange part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.budget import DEFAULT_BUDGET, events_per_active_user_day, threshold_for
from ensemble.calibration import Calibration
from ensemble.calibration import fit as fit_calibration
from ensemble.combine import Method, combine, surprise
from ensemble.decision import EnsembleSpec
from models import DETECTORS, resolve
from models.base import Detector
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import NEVER_ORDINARY, Levels, extract

Features = NDArray[np.float32]
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

#: Events between two calls of ``learn``; serving learns about as often under load.
LEARN_EVERY = 250
#: At least this many calls of ``learn`` in a training: in one of a hundred events a block of 250
#: would leave all of them as seen by a history that knows nobody, which serving never is again.
LEAST_LEARNINGS = 100
#: The first share of the events only warms up the history: there everything is new to everybody.
WARM_UP = 0.1
#: Fewer events than this and nothing is spared for warming up.
LEAST_TO_SPARE = 500
#: Robust deviations of the square root of a strangeness above which an event is set aside.
SET_ASIDE = 2.5
#: Share set aside beyond which the data is taken to be contaminated. In ordinary data, tails
#: heavier than normal set aside 2-5 %.
HEAVY_SHARE = 0.08
#: Detectors that fit in a second or two, for the provisional ensemble.
FAST = frozenset({"isolation_forest", "one_class_svm"})
#: Events sampled as background for explanations.
BACKGROUND_ROWS = 100
#: Points of the table of training scores.
SCORE_POINTS = 1001


class TrainingError(ValueError):
    """Events from which nothing can be trained, and what is needed instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """``budget`` is alerts per 1,000 active users per day; ``parameters`` are detector keywords."""

    budget: float = DEFAULT_BUDGET
    method: Method = "mean"
    weights: Mapping[str, float] = field(default_factory=dict)
    detectors: tuple[str, ...] = tuple(DETECTORS)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """All that a bundle needs. ``background`` is float32 (<= BACKGROUND_ROWS, n_features)."""

    detectors: dict[str, Detector]
    spec: EnsembleSpec
    history: bytes
    background: Features
    score_quantiles: list[float]
    """Calibrated score of the training events at evenly spaced quantiles, all events included."""
    detector_quantiles: dict[str, list[float]]
    """The same for each detector alone."""
    set_aside: float
    """Share of the events that were kept out as not ordinary."""


Step = Callable[[str], None]


def train(
    events: Sequence[AuthEvent],
    *,
    settings: TrainingSettings,
    anomalous: frozenset[str] = frozenset(),
    step: Step = lambda name: None,
) -> Trained:
    """Fit everything to events (any order). ``anomalous`` ids, if known, are kept out.

    Raises :class:`TrainingError` when there is no event.
    """
    if not events:
        raise TrainingError("no events to train on; give at least one day of ordinary logins")
    ordered = sorted(events, key=lambda event: event.timestamp)
    known = np.array([event.event_id in anomalous for event in ordered], np.bool_)
    step("learning habits")
    first, _ = _run(ordered, lambda rows, x, learning: ~known[rows] & _plain(x))
    usable = _warm(len(ordered)) & _plain(first) & ~known
    ordinary = _ordinary(first.sum(axis=1, dtype=np.float64), usable)
    step("fitting a provisional ensemble")
    provisional = _provisional(first[ordinary], settings)
    limit = _cut(provisional(first[usable])) if usable.any() else np.inf
    step("learning habits again, without what looks strange")
    features, history = _run(
        ordered,
        # As serving does: of users in learning mode all that is plain, or nothing could begin.
        lambda rows, x, learning: ~known[rows] & _plain(x) & (learning | (provisional(x) <= limit)),
    )
    usable = _warm(len(ordered)) & _plain(features) & ~known
    strange = provisional(features)
    return _fit(ordered, features, usable, strange, history, settings, step)


def _fit(
    events: Sequence[AuthEvent],
    features: Features,
    usable: Mask,
    strange: Values,
    history: EmbeddedHistory,
    settings: TrainingSettings,
    step: Step,
) -> Trained:
    chosen = _ordinary(strange, usable)
    rows = features[chosen] if chosen.any() else features
    detectors = {}
    for name in settings.detectors:
        step(f"fitting {name}")
        detectors[name] = _detector(name, settings).fit(rows)
    step("calibrating")
    judged = _judged(strange, usable)
    if not judged.any():
        judged = np.ones(len(features), np.bool_)
    raw = {name: detector.score(features) for name, detector in detectors.items()}
    calibrations = {name: fit_calibration(values[judged]) for name, values in raw.items()}
    combined = _combined(raw, calibrations, settings)
    calibration = fit_calibration(combined[judged])
    levels = Levels.of(features[judged])
    spec = EnsembleSpec(
        method=settings.method,
        weights=dict(settings.weights),
        detectors=calibrations,
        combined=calibration,
        budget=settings.budget,
        threshold=threshold_for(settings.budget, events_per_active_user_day(events)),
        level=levels.level.tolist(),
        scale=levels.scale.tolist(),
    )
    quantiles = {name: _quantiles(calibrations[name](values)) for name, values in raw.items()}
    rng = np.random.default_rng(settings.seed)
    background = rows[rng.permutation(len(rows))[:BACKGROUND_ROWS]]
    kept_out = 1.0 - float(judged.mean())
    snapshot = history.snapshot(seen=False)
    overall = _quantiles(calibration(combined))
    return Trained(detectors, spec, snapshot, background, overall, quantiles, kept_out)


def _quantiles(scores: Values) -> list[float]:
    return [float(q) for q in np.quantile(scores, np.linspace(0.0, 1.0, SCORE_POINTS))]


def _run(
    events: Sequence[AuthEvent], learnable: Callable[[slice, Features, Mask], Mask]
) -> tuple[Features, EmbeddedHistory]:
    """Features of every event in order, learning block by block what ``learnable`` allows."""
    history = EmbeddedHistory()
    blocks = []
    size = max(1, min(LEARN_EVERY, len(events) // LEAST_LEARNINGS))
    for start in range(0, len(events), size):
        block = events[start : start + size]
        rows = slice(start, start + len(block))
        facts = history.observe(block, now_s=block[-1].timestamp.timestamp())
        batch = extract(block, facts)
        allowed = learnable(rows, batch.values, facts.learning)
        history.learn(event.event_id for event, ok in zip(block, allowed, strict=True) if ok)
        blocks.append(batch.values)
    return np.concatenate(blocks), history


def _provisional(rows: Features, settings: TrainingSettings) -> Callable[[Features], Values]:
    """Strangeness by the fast detectors, fitted to the given rows; the plain sum if there are
    none. The autoencoder would cost seconds here and change nothing."""
    fast = [name for name in settings.detectors if name in FAST]
    if not len(rows) or not fast:
        return lambda x: x.sum(axis=1, dtype=np.float64)
    detectors = {name: _detector(name, settings).fit(rows) for name in fast}
    calibrations = {name: fit_calibration(d.score(rows)) for name, d in detectors.items()}

    def strangeness(x: Features) -> Values:
        raw = {name: detector.score(x) for name, detector in detectors.items()}
        return _combined(raw, calibrations, settings)

    return strangeness


def _combined(
    raw: Mapping[str, Values], calibrations: Mapping[str, Calibration], settings: TrainingSettings
) -> Values:
    surprises = np.stack([surprise(calibrations[name].exceedance(raw[name])) for name in raw])
    return combine(surprises, list(raw), method=settings.method, weights=settings.weights)


def _detector(name: str, settings: TrainingSettings) -> Detector:
    build: Callable[..., Detector] = resolve(name)
    return build(**{"seed": settings.seed, **settings.parameters.get(name, {})})


def _plain(x: Features) -> Mask:
    """Events without a value that is never ordinary."""
    return np.asarray((x < NEVER_ORDINARY).all(axis=1))


def _warm(count: int) -> Mask:
    """False for the first events, in which the history knows nobody yet."""
    cold = int(count * WARM_UP) if count >= LEAST_TO_SPARE else 0
    return np.arange(count) >= cold


def _cut(strange: Values) -> float:
    """Strangeness beyond which an event is set aside.

    The square root of a sum of skewed features is about normal; its centre and spread come from
    the lower quartile and the median, which the strange half of the events cannot move far.
    """
    low, middle = np.quantile(np.sqrt(strange), (0.25, 0.5))
    # A quarter of the normal distribution lies between its lower quartile and 0.674 deviations up.
    return float((middle + SET_ASIDE * (middle - low) / 0.674) ** 2)


def _judged(strange: Values, usable: Mask) -> Mask:
    """Events the calibration may count as ordinary: all usable ones, unless too many of them are
    strange; then only those below the cut."""
    if not usable.any():
        return usable
    below = usable & (strange <= _cut(strange[usable]))
    return below if 1.0 - below.sum() / usable.sum() > HEAVY_SHARE else usable


def _ordinary(strange: Values, usable: Mask) -> Mask:
    """Events the detectors are fitted to: as :func:`_judged`, and in contaminated data only the
    more ordinary half, since what is strange in small ways hides below the cut."""
    judged = _judged(strange, usable)
    if judged is usable or not usable.any():
        return judged
    return judged & (strange <= np.median(strange[usable]))
