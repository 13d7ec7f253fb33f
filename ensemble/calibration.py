"""Raw score -> the share of ordinary events that score lower, strictly increasing.

Scores of different detectors have different scales; only after calibration can they be compared,
averaged or held against an alert budget.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

#: Points of the quantile table below the tail.
TABLE_POINTS = 257
#: Share of the training scores from which the tail is extrapolated.
TAIL_SHARE = 0.02
#: Fewest scores a tail is fitted to; small training sets use a larger share.
LEAST_TAIL = 10
#: Scores closer than this share of the range below the tail are one score. Events without any
#: surprise all score the same but for rounding, and rounding differs between a batch and a single
#: event, and between a detector and its exported form.
SAME_SCORE = 1e-4
#: Power of the Pareto tail. A generalised Pareto with shape 1/3 is heavier than what raw detector
#: scores show, so the extrapolation errs towards more surprise being needed, and float64 keeps
#: apart scores up to 10^4 tail scales out, where an exponential tail would tie at 1.
TAIL_POWER = 3.0


class Calibration(msgspec.Struct, frozen=True):
    """Quantile table up to ``tail_start``, a Pareto tail above it.

    ``raw`` and ``share`` are the table; ``raw`` increases, ``share`` never falls. For
    x > tail_start, P(score > x) is
    ``tail_share * (1 + (x - tail_start) / (TAIL_POWER * tail_scale)) ** -TAIL_POWER``.
    """

    raw: list[float]
    share: list[float]
    tail_start: float
    tail_share: float
    tail_scale: float

    def exceedance(self, raw: Values) -> Values:
        """Share of ordinary events that score higher, in (0, 1]; float64 (n,)."""
        below = 1.0 - np.interp(raw, self.raw, self.share)
        excess = np.maximum(0.0, raw - self.tail_start) / (TAIL_POWER * self.tail_scale)
        tail = self.tail_share * (1.0 + excess) ** -TAIL_POWER
        return np.where(raw > self.tail_start, tail, below)

    def __call__(self, raw: Values) -> Values:
        """Share of ordinary events that score lower, in [0, 1); float64 (n,)."""
        return 1.0 - self.exceedance(raw)


def fit(raw: Values) -> Calibration:
    """Calibration on the raw scores of ordinary events, float64 (n,), n >= 1.

    >>> calibrate = fit(np.arange(1000.0))
    >>> bool(abs(calibrate(np.array([500.0]))[0] - 0.5) < 0.01)
    True
    >>> low, high = calibrate(np.array([2_000.0, 200_000.0]))
    >>> bool(0.99 < low < high < 1.0)
    True
    """
    ordered = np.sort(np.asarray(raw, np.float64))
    count = len(ordered)
    tail_count = min(max(LEAST_TAIL, round(count * TAIL_SHARE)), max(1, count // 2))
    tail_share = tail_count / (count + 1)
    start = float(ordered[count - 1 - tail_count] if count > tail_count else ordered[0])
    spread = float(ordered[-1] - ordered[0])
    excess = ordered[ordered > start] - start
    least = max(spread * 1e-3, abs(start) * 1e-6, 1e-9)
    scale = max(float(excess.mean()) if len(excess) else 0.0, least)
    table = np.quantile(ordered, np.linspace(0.0, 1.0, TABLE_POINTS) * _rank(ordered, start))
    table[-1] = start
    points, shares = _merged(table, np.linspace(0.0, 1.0 - tail_share, TABLE_POINTS))
    return Calibration(points, shares, start, tail_share, scale)


def _rank(ordered: Values, start: float) -> float:
    """Quantile at which ``start`` stands."""
    if len(ordered) < 2:
        return 0.0
    return float(np.searchsorted(ordered, start)) / (len(ordered) - 1)


def _merged(table: Values, shares: Values) -> tuple[list[float], list[float]]:
    """The table with equal scores as one point, which has the share below the next larger score
    and stands a little lower, so that rounding does not fall off it."""
    first, start = float(table[0]), float(table[-1])
    apart = max((start - first) * SAME_SCORE, abs(start) * 1e-6, 1e-9)
    points, merged = [first - 2 * apart, first - apart], [0.0, 0.0]
    for point, share in zip(table.tolist(), shares.tolist(), strict=True):
        if point - first > apart:
            first = point
            points.append(point - apart)
            merged.append(share)
        merged[-1] = share
    return [*points, start], [*merged, merged[-1]]
