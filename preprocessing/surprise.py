"""Feature values on one scale: how surprising each is in this tenant.

A bit of resource rarity is nothing where everybody roams and much where nobody does. ``Surprise``
learns, per feature, which share of ordinary events shows at least a value, and maps the value to
decades beyond the commonplace: 0 for what one ordinary event in ten shows, 1 for one in a hundred,
2 for one in a thousand. Detectors then see excursions instead of the noise of many dimensions.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]

#: Shares of ordinary events at which the map has its points.
_SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)
#: Fewest events a point may rest on.
_LEAST_EVENTS = 5
#: Points closer than this in a feature's own unit are one.
_LEAST_STEP = 0.05
#: Decades that are commonplace: one ordinary event in ten has a surprise this large or larger.
COMMONPLACE = 1.0
#: Most decades that one unit of a feature may be worth. A unit doubles a count or is one bit (0.3
#: decades taken at its word), so a tiny value that a small training set happens not to contain
#: stays small.
STEEPEST = 1.5
#: Decades per unit beyond the training events, bounded on both sides: a bit taken at its word is
#: 0.3; twice that at most, because what training never saw may also be a tenant that changes.
_TAIL_SLOPES = (0.3, 0.6)
#: How far the map is written down beyond the last point, in units; features end at 25.
_REACH = 30.0
#: Decades beyond the commonplace from which a value is worth telling: one ordinary event in fifty.
NOTABLE = 0.7
#: Decades of all features together below which hardly any event is flagged: the least of 166 alerts
#: in the generator's enterprise scenario had 4.6, and nine events in ten have less than 3.4.
ARRESTING = 2.5


class Curve(msgspec.Struct, frozen=True):
    """Piecewise linear, increasing: feature value -> decades of surprise, 0 at 0."""

    value: list[float]
    decades: list[float]


class Surprise(msgspec.Struct, frozen=True):
    """One curve per feature, in the order of the features. Travels with the model bundle."""

    curves: list[Curve]

    def __call__(self, x: Features) -> Features:
        """Feature values (n, d) -> decades beyond the commonplace, float32 (n, d), >= 0."""
        out = np.zeros(x.shape, np.float32)
        for index, curve in enumerate(self.curves):
            column = x[:, index]
            # Most features of most events are 0, and so is their surprise.
            if column.any():
                decades = np.interp(column, curve.value, curve.decades) - COMMONPLACE
                np.maximum(decades, 0.0, out=decades)
                out[:, index] = decades
        return out


def notable(decades: Features) -> NDArray[np.bool_]:
    """Rows with a value worth telling: those whose evidence is kept, (n,)."""
    return np.asarray((decades >= NOTABLE).any(axis=1))


def arresting(decades: Features) -> NDArray[np.bool_]:
    """Rows that may well be flagged: of them it is kept what they would be like as usual, (n,)."""
    return np.asarray(decades.sum(axis=1) >= ARRESTING)


def fit(x: Features) -> Surprise:
    """Curves from the features of ordinary events (n, d), n >= 1.

    >>> x = np.abs(np.random.default_rng(0).normal(size=(10_000, 1))).astype(np.float32)
    >>> fit(x)(np.array([[0.1], [2.58], [3.2]], np.float32)).round(1).ravel().tolist()
    [0.0, 1.0, 2.0]
    """
    return Surprise(
        [_curve(np.sort(x[:, index].astype(np.float64))) for index in range(x.shape[1])]
    )


def _curve(ordered: NDArray[np.float64]) -> Curve:
    value, decades = [0.0], [0.0]
    count = len(ordered)
    for share in _SHARES:
        if share * count < _LEAST_EVENTS:
            break
        # A value that events show, not one between two of them.
        point = float(np.quantile(ordered, 1.0 - share, method="higher"))
        if point > value[-1] + _LEAST_STEP:
            # Ties: what counts is how many events show at least this value.
            at_least = count - int(np.searchsorted(ordered, point, "left"))
            value.append(point)
            decades.append(max(decades[-1] + 1e-3, -float(np.log10(at_least / count))))
    decades = [min(y, STEEPEST * x) for x, y in zip(value, decades, strict=True)]
    _extrapolate(value, decades, ordered)
    return Curve(value, decades)


def _extrapolate(value: list[float], decades: list[float], ordered: NDArray[np.float64]) -> None:
    """Continue beyond the last point as the tail went on before it."""
    if len(value) == 1:
        # Too few events moved for a point: the first step is as rare as they are, and where none
        # did, as training was long.
        moved = int((ordered > _LEAST_STEP).sum())
        rarest = float(np.log10((len(ordered) + 1) / (moved + 1)))
        value.append(max(0.5, rarest / STEEPEST))
        decades.append(rarest)
        slope = _TAIL_SLOPES[0]
    else:
        back = max(0, len(value) - 3)
        run = max(0.5, value[-1] - value[back])
        slope = min(max((decades[-1] - decades[back]) / run, _TAIL_SLOPES[0]), _TAIL_SLOPES[1])
    value.append(value[-1] + _REACH)
    decades.append(decades[-1] + slope * _REACH)
