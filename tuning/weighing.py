"""How much each detector counts, chosen on a later slice of the training events.

Nobody labels, so the measure is agreement: how well a detector, fitted to the events before, finds
again what the others together find rarest in the slice. Selecting detectors by agreement with a
consensus is Rayana and Akoglu, "Less is More: Building Selective Anomaly Ensembles", ACM TKDD 10
(2016). It cannot tell a detector that is wrong from one that alone is right, so it only weighs:
by agreement, and not at all who has less than three quarters of the best one's.

Where anomalies of the slice are labelled, stacking may do better: a logistic regression on what
the detectors find (Wolpert, "Stacked Generalization", Neural Networks 5, 1992), its weights not
negative, so that more surprise never means less. It is kept only if it ranks the anomalies better
than the weights by agreement in both halves of the slice, each judged by what the other taught.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ensemble.combine import excess, weighted
from ensemble.metrics import average_precision

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Share of the slice that counts as rarest. With one to five in a hundred the sequence model has
#: 0.63 to 0.71 of the best one's agreement in the generator's enterprise scenario and 0.74 to 0.89
#: in seedlike (seeds 201 to 203), 0.38 to 0.53 on the first day of the LANL sample; without the
#: attacks that nobody labelled, the first falls to 0.4.
RAREST_SHARE = 0.02
#: Fewest events of a slice, of which ten are then the rarest.
LEAST_EVENTS = 500
#: Fewest detectors: of two, none is the odd one out.
LEAST_DETECTORS = 3
#: Part of the best detector's agreement below which another one counts nothing. With 0.7 the
#: sequence model moves the average precision by -0.01 to +0.006 in the generator's enterprise
#: scenario (seeds 201 and 203) and doubles the alarms for service administration.
LEAST_PART = 0.75
#: Fewest labelled anomalies of a slice for stacking, some for each of at most four weights twice.
LEAST_ANOMALIES = 20
#: Ridge of the stacking, which shares a weight evenly among detectors that see the same.
RIDGE = 0.01
#: Steps of its descent; after 500 the weights move in the third digit no more.
STEPS = 1000

Basis = Literal["equal", "given", "agreement", "labels"]


class Weighing(msgspec.Struct, frozen=True):
    """The weights that were chosen and by what; ``agreement`` of each detector, in [0, 1].

    ``average_precision`` is that of the labelled anomalies of the slice by agreement and by
    stacking, where there were enough of them to compare.
    """

    weights: dict[str, float] = {}
    basis: Basis = "equal"
    agreement: dict[str, float] = {}
    average_precision: dict[str, float] = {}


EQUAL = Weighing()


def weigh(surprises: Mapping[str, Values], anomalous: Mask) -> Weighing:
    """Weights from each detector's surprise (n,) at later events in order of time, of which some
    are known to be ``anomalous`` (n,); equal ones where there is too little to choose by."""
    each = np.stack(list(surprises.values()))
    if len(each) < LEAST_DETECTORS or int((~anomalous).sum()) < LEAST_EVENTS:
        return EQUAL
    agreed = agreement(each)
    weights = by_agreement(agreed)
    basis: Basis = "agreement"
    precision: dict[str, float] = {}
    if anomalous.sum() >= LEAST_ANOMALIES:
        learned, precision = stacked(excess(each), anomalous, weights)
        if learned is not None:
            weights, basis = learned, "labels"
    return Weighing(_named(surprises, weights), basis, _named(surprises, agreed), precision)


def agreement(surprises: Values) -> Values:
    """How well each detector finds again what the others together find rarest, (n_detectors,).

    ``surprises`` is (n_detectors, n_events). Average precision, from the share of the rarest, what
    chance finds, to 1.
    """
    count = max(1, round(RAREST_SHARE * surprises.shape[1]))
    counted = excess(surprises)
    together = counted.sum(axis=0)
    found = []
    for own, mine in zip(surprises, counted, strict=True):
        rarest = np.zeros(len(own), np.bool_)
        rarest[np.argsort(-(together - mine), kind="stable")[:count]] = True
        found.append(average_precision(own, rarest))
    return np.array(found)


def by_agreement(agreed: Values) -> Values:
    """Each detector's part of the best one's agreement, 0 below ``LEAST_PART``."""
    part = agreed / agreed.max()
    return np.where(part < LEAST_PART, 0.0, part)


def stacked(
    counted: Values, anomalous: Mask, weights: Values
) -> tuple[Values | None, dict[str, float]]:
    """Weights learned from labels, if they are better than the given ones in both halves; and the
    average precision of both, a mean over the halves.

    ``counted`` is (n_detectors, n_events) in order of time; a half holds half of the anomalies.
    """
    middle = int(np.flatnonzero(anomalous)[anomalous.sum() // 2])
    first = np.arange(len(anomalous)) < middle
    given: list[float] = []
    taught: list[float] = []
    for judged in (first, ~first):
        learned = logistic(counted[:, ~judged], anomalous[~judged])
        for found, own in ((given, weights), (taught, learned)):
            found.append(average_precision(weighted(counted[:, judged], own), anomalous[judged]))
    better = all(new > old for new, old in zip(taught, given, strict=True))
    precision = {"agreement": float(np.mean(given)), "labels": float(np.mean(taught))}
    return (logistic(counted, anomalous) if better else None), precision


def logistic(counted: Values, anomalous: Mask) -> Values:
    """Weights (n_detectors,) in [0, 1], the largest 1, of a logistic regression in which both
    classes weigh the same, however rare anomalies are. Projected gradient descent."""
    share = np.where(anomalous, 0.5 / anomalous.sum(), 0.5 / (~anomalous).sum())
    side = np.where(anomalous, 1.0, -1.0)

    rows = np.vstack([counted, np.ones(len(anomalous))])
    ridge = np.append(np.full(len(counted), 2.0 * RIDGE), 0.0)
    curvature = float(np.linalg.norm((rows * share) @ rows.T, 2)) / 4.0 + 2.0 * RIDGE
    found = np.append(np.ones(len(counted)), 0.0)
    for _ in range(STEPS):
        margin = np.clip(side * (found @ rows), -50.0, 50.0)
        found = found - (ridge * found - rows @ (share * side / (1.0 + np.exp(margin)))) / curvature
        found[:-1] = np.maximum(found[:-1], 0.0)
    slopes = found[:-1]
    return np.asarray(slopes / slopes.max() if slopes.max() > 0.0 else np.ones_like(slopes))


def _named(names: Mapping[str, Values], values: Values) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in zip(names, values, strict=True)}
