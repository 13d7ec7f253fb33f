"""What each detector and each family of features contributes: the ensemble without it.

The costly part, what was known before each event, is done once (``tuning.train.habits``); so the
baselines of every variation are those of the whole ensemble, and so are the detectors' weights. A
detector is taken out of the combination, or is all there is of it. A family of features is taken
out by training without it: its columns are zero, ordinary, for training and judging alike;
detectors that see no features stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ensemble.calibration import fit as fit_calibration
from models import resolve
from preprocessing.event import AuthEvent
from preprocessing.features import FEATURES
from tuning.data import Labels
from tuning.evaluation.alerts import at_points
from tuning.evaluation.judged import ENSEMBLE, Values, known_of
from tuning.evaluation.points import points
from tuning.evaluation.ranking import Ranking
from tuning.evaluation.resampling import RESAMPLES, Clusters, figure
from tuning.train import Features, Fitted, Habits, Step, TrainingSettings, fit, habits, weighed

#: Feature families in the order of docs/features.md.
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(feature.family for feature in FEATURES))


@dataclass(frozen=True, slots=True)
class Variation:
    """One ensemble: ``scores`` (m,) of the later events, and which of them it alerts."""

    name: str
    scores: Values
    rarity: Values
    """Share of ordinary training events that score higher (m,)."""


def ablate(
    training: Sequence[AuthEvent],
    later: Sequence[AuthEvent],
    labels: Labels,
    *,
    settings: TrainingSettings,
    step: Step = lambda name: None,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Figures of the whole ensemble, then of every variation of it, on the labelled later events.

    Both are in order of time. ``gain_x`` is the whole ensemble's figure less the variation's, on
    the same resamples: what the part that is missing contributes. Labels only judge.
    """
    judged_rows = np.array([labels.knows(event.event_id) for event in later], np.bool_)
    judged = known_of([e for e, use in zip(later, judged_rows, strict=True) if use], labels)
    clusters = Clusters(judged, resamples=resamples)
    share = 1.0 - settings.threshold(training)
    rows: list[dict[str, Any]] = []
    whole: Ranking | None = None
    for told in variations(training, later, settings, step):
        scores, alerted = told.scores[judged_rows], told.rarity[judged_rows] < share
        ranking = Ranking.of(judged, clusters, scores)
        whole = whole or ranking
        mine = replace(judged, scores={ENSEMBLE: scores}, flagged=alerted)
        rows.append(
            {
                "name": told.name,
                **ranking.overall(),
                **_gain(whole, ranking),
                "operating_points": at_points(mine, points(mine, 1.0 - share), clusters),
            }
        )
    return rows


def variations(
    training: Sequence[AuthEvent],
    later: Sequence[AuthEvent],
    settings: TrainingSettings,
    step: Step = lambda name: None,
) -> Iterator[Variation]:
    """The whole ensemble, without each detector, each alone, and without each feature family."""
    nothing_known = np.zeros(len(training), np.bool_)
    found, _ = habits(training, nothing_known, settings, later=later, step=step)
    chosen = found.ordinary(nothing_known, settings.windows)
    rows = np.flatnonzero(chosen)
    features = found.features(settings.windows)
    weighing = weighed(features, found.trails, chosen, nothing_known, settings, step)
    settings = replace(settings, weights=weighing.weights)
    whole = _Part.of(features, found, rows, settings, len(training), step)
    yield whole.variation(ENSEMBLE, settings.detectors)
    if len(settings.detectors) > 1:
        for name in settings.detectors:
            yield whole.variation(f"without {name}", [d for d in settings.detectors if d != name])
        for name in settings.detectors:
            yield whole.variation(f"only {name}", [name])
    seeing = tuple(d for d in settings.detectors if resolve(d).sees == "features")
    for family in FAMILIES if seeing else ():
        step(f"without {family} features")
        left = without(features, family)
        part = _Part.of(left, found, rows, replace(settings, detectors=seeing), len(training))
        yield part.beside(whole).variation(f"without {family} features", settings.detectors)


def without(features: Features, family: str) -> Features:
    """Features (n, d) in which those of a family are 0, which is ordinary."""
    missing = [index for index, feature in enumerate(FEATURES) if feature.family == family]
    left = features.copy()
    left[:, missing] = 0.0
    return left


@dataclass(frozen=True, slots=True)
class _Part:
    """Fitted detectors with their raw scores of ordinary training events and of later events."""

    fitted: Fitted
    ordinary: Mapping[str, Values]
    later: Mapping[str, Values]

    @classmethod
    def of(
        cls,
        features: Features,
        found: Habits,
        rows: Any,
        settings: TrainingSettings,
        training: int,
        step: Step = lambda name: None,
    ) -> _Part:
        fitted = fit(features[rows], found.trails[rows], settings, step)
        return cls(
            fitted,
            fitted.raw(features[rows], found.trails[rows]),
            fitted.raw(features[training:], found.trails[training:]),
        )

    def beside(self, whole: _Part) -> _Part:
        """These detectors, and those of the whole ensemble that are not among them."""
        calibrations = {**whole.fitted.calibrations, **self.fitted.calibrations}
        return _Part(
            replace(self.fitted, calibrations=calibrations),
            {**whole.ordinary, **self.ordinary},
            {**whole.later, **self.later},
        )

    def variation(self, name: str, detectors: Sequence[str]) -> Variation:
        """The ensemble of some detectors, calibrated anew."""
        combine: Callable[[Mapping[str, Values]], Values] = self.fitted.combine
        scores = combine({detector: self.later[detector] for detector in detectors})
        usual = combine({detector: self.ordinary[detector] for detector in detectors})
        return Variation(name, scores, fit_calibration(usual).exceedance(scores))


def _gain(whole: Ranking, other: Ranking) -> dict[str, Any]:
    return figure(
        "gain_roc_auc",
        whole.roc_auc - other.roc_auc,
        whole.drawn_roc_auc - other.drawn_roc_auc,
    ) | figure(
        "gain_average_precision",
        whole.average_precision - other.average_precision,
        whole.drawn_average_precision - other.drawn_average_precision,
    )
