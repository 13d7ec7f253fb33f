"""How far a figure is chance: the bootstrap over users and campaigns, never over single events.

The events of one user rise and fall together, and so do those of one attack, so whole users and
whole campaigns are what is drawn again (Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, ch. 8 and 13). Thresholds stay as they are.
"""

from __future__ import annotations

import numpy as np

from tuning.evaluation.judged import Index, Judged, Mask, Values

#: Resamples behind an interval, and what share of them lies within it.
RESAMPLES = 400
SHARE = 0.95
#: Most numbers kept of all draws, 320 MB, and the fewest resamples worth telling: more than 100,000
#: users are drawn less often, and so many need it less.
MOST_DRAWS = 40_000_000
LEAST_RESAMPLES = 50
#: 95 % of a normal distribution lie within so many deviations.
_NORMAL = 1.96
_SEED = 20250501

Interval = tuple[float, float] | None


class Clusters:
    """Which cluster each of n events belongs to, and how often each resample draws the cluster.

    An event of a campaign belongs to the campaign, any other to its user. Users and campaigns are
    drawn apart, each as many as there are: ``draws`` is (resamples, users + campaigns).
    """

    def __init__(self, judged: Judged, *, resamples: int = RESAMPLES) -> None:
        users, campaigns = len(judged.users), len(judged.campaigns)
        inside = judged.campaigns.of >= 0
        self.of: Index = np.where(inside, users + judged.campaigns.of, judged.users.of)
        self.users = users
        self.size = users + campaigns
        resamples = min(resamples, max(LEAST_RESAMPLES, MOST_DRAWS // max(1, self.size)))
        rng = np.random.default_rng(_SEED)
        drawn = [_drawn(rng, users, resamples), _drawn(rng, campaigns, resamples)]
        self.draws: Values = np.concatenate(drawn, axis=1)

    @property
    def of_users(self) -> Values:
        """Draws (resamples, users)."""
        return self.draws[:, : self.users]

    @property
    def of_campaigns(self) -> Values:
        """Draws (resamples, campaigns)."""
        return self.draws[:, self.users :]

    def counts(self, rows: Mask) -> Values:
        """How many of ``rows`` (n,) each resample holds, (resamples,)."""
        return np.asarray(self.draws @ np.bincount(self.of[rows], minlength=self.size))

    def met(self, rows: Mask) -> int:
        """How many clusters ``rows`` (n,) belong to."""
        return len(np.unique(self.of[rows]))


def interval(values: Values) -> Interval:
    """The middle 95 % of the resamples in which the figure exists; None where it never does."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1.0 - SHARE) / 2.0, (1.0 + SHARE) / 2.0])
    return float(low), float(high)


def ratio(part: Values | float, whole: Values | float) -> Values:
    """``part / whole``, NaN where there is no whole."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    found: Values = np.full(whole.shape, np.nan)
    return np.divide(part, whole, out=found, where=whole > 0.0)


def figure(name: str, value: float | Values, resampled: Values) -> dict[str, object]:
    """A figure beside its interval, as two entries; None where there is nothing to compute."""
    known = float(value)
    exists = bool(np.isfinite(known))
    return {
        name: known if exists else None,
        f"{name}_interval": interval(resampled) if exists else None,
    }


def share(name: str, value: float | Values, resampled: Values, units: int) -> dict[str, object]:
    """A share beside its interval. Where nothing or everything of it is hit, every resample agrees;
    then it is Wilson's interval for ``units`` independent cases (JASA 22, 1927)."""
    told = figure(name, value, resampled)
    if told[name] in (0.0, 1.0) and units:
        told[f"{name}_interval"] = _wilson(float(value), units)
    return told


def _wilson(value: float, units: int) -> tuple[float, float]:
    """For a share of 0 or 1.

    >>> _wilson(1.0, 6)
    (0.609..., 1.0)
    """
    far = _NORMAL**2 / (units + _NORMAL**2)
    return (1.0 - far, 1.0) if value else (0.0, far)


def _drawn(rng: np.random.Generator, clusters: int, resamples: int) -> Values:
    if not clusters:
        return np.zeros((resamples, 0))
    each = np.full(clusters, 1.0 / clusters)
    return rng.multinomial(clusters, each, size=resamples).astype(np.float64)
