"""Which training events count as ordinary, when nobody says which are not.

Training data is never clean, and how dirty it is cannot be known. Three rules, from the safest to
the roughest, each used only where the one before leaves work to do:

1. Events with a value that nobody would call ordinary are out (``features.plain``, levels from
   published rules).
2. If more is strange than any ordinary tail explains (:func:`heavy`): attacks come in waves, so
   only the calm stretches of time are kept (:func:`calm`).
3. If that is still too much, there was no calm: only the most ordinary half of all is kept
   (:func:`concentrated`).

Strangeness is at first the plain sum of an event's oriented features (``features.strangeness``):
no amount of contamination can bend it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocessing.features import plain, strangeness
from preprocessing.surprise import fit

Features = NDArray[np.float32]
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

#: The first share of the events only warms up the history: there everything is new to everybody.
WARM_UP = 0.1
#: Fewer events than this and nothing is spared for warming up, nor are stretches compared.
LEAST_TO_SPARE = 1000
#: Stretches of equal count that are compared.
STRETCHES = 20
#: An event in the strangest fifth of all is counted against its stretch.
STRANGE_SHARE = 0.2
#: A stretch is calm if it holds at most this many times the strange events of the calmest two,
#: and a little: stretches of 500 ordinary events differ by this much by chance.
CALM_TIMES, CALM_SLACK = 1.5, 0.02
#: Strange events of the calm stretches, against all, above which they may be calm by chance.
CALM_SHARE = 0.5
#: Robust deviations of the square root of strangeness beyond which an event is strange.
SET_ASIDE = 2.5
#: Share beyond that which ordinary tails do not explain; in ordinary data it is 2-5 %.
HEAVY_SHARE = 0.08
#: Times the more ordinary half is chosen anew; it hardly changes after three.
STEPS = 4
#: Decades that a unit of plain strangeness is worth between equally surprising events.
TIE = 1e-6


def ordinary(features: Features, known_anomalous: Mask) -> Mask:
    """Rows (n,) of features (n, d), in time order, that training may take for ordinary."""
    usable = plain(features) & warm(len(features)) & ~known_anomalous
    strange = strangeness(features)
    if not heavy(strange, usable):
        return usable
    quiet = calm(strange, usable)
    return quiet if _calmer(strange, quiet, usable) else concentrated(features, usable)


def heavy(strange: Values, usable: Mask) -> bool:
    """Whether more of the usable events is strange than ordinary tails explain. Small sets are
    taken as they are: their tails say too little."""
    if int(usable.sum()) < LEAST_TO_SPARE:
        return False
    chosen = strange[usable]
    return float((chosen > _cut(chosen)).mean()) > HEAVY_SHARE


def calm(strange: Values, usable: Mask) -> Mask:
    """Usable events of the stretches that hold few strange ones."""
    places = np.flatnonzero(usable)
    high = np.quantile(strange[places], 1.0 - STRANGE_SHARE)
    stretches = np.array_split(places, STRETCHES)
    shares = np.array([float((strange[stretch] > high).mean()) for stretch in stretches])
    calmest = float(np.sort(shares)[:2].mean())
    kept = np.zeros(len(strange), np.bool_)
    for stretch, share in zip(stretches, shares, strict=True):
        if share <= CALM_TIMES * calmest + CALM_SLACK:
            kept[stretch] = True
    return kept


def _calmer(strange: Values, quiet: Mask, usable: Mask) -> bool:
    """Whether what was kept is ordinary, as far as can be seen, and clearly more so than all."""
    high = np.quantile(strange[usable], 1.0 - STRANGE_SHARE)
    share = float((strange[quiet] > high).mean())
    return share <= CALM_SHARE * STRANGE_SHARE and not heavy(strange, quiet)


def concentrated(features: Features, usable: Mask) -> Mask:
    """The half of the usable events that are the least surprising to one another.

    It begins with the half whose features sum to the least. What is strange in one way alone hides
    there, for a bit of one feature is not worth a bit of another; so the half is judged by its own
    surprises and chosen anew, a few times (the C-steps of FAST-MCD: Rousseeuw and Van Driessen,
    1999, Technometrics 41).
    """
    strange = strangeness(features)
    chosen = _lower_half(strange, usable)
    for _ in range(STEPS):
        decades = fit(features[chosen])(features).sum(axis=1, dtype=np.float64)
        # Many events surprise nobody: among those the plain sum decides.
        chosen = _lower_half(decades + TIE * strange, usable)
    return chosen


def _lower_half(strange: Values, usable: Mask) -> Mask:
    return usable & (strange <= np.median(strange[usable]))


def _cut(strange: Values) -> float:
    """Strangeness beyond which an event is strange.

    The square root of a sum of skewed features is about normal; centre and spread come from the
    lower quartile and the median, which the strange part of the events cannot move far.
    """
    low, middle = np.quantile(np.sqrt(strange), (0.25, 0.5))
    # A quarter of the normal distribution lies between its lower quartile and 0.674 deviations up.
    return float((middle + SET_ASIDE * (middle - low) / 0.674) ** 2)


def warm(count: int) -> Mask:
    """False for the first events, in which the history knows nobody yet."""
    cold = int(count * WARM_UP) if count >= LEAST_TO_SPARE else 0
    return np.arange(count) >= cold
