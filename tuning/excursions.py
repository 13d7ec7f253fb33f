"""Artificial excursions, which stand for attacks where nobody says which events were attacks.

An excursion is a later ordinary-looking event with one to three of its features raised to a
surprise of half a decade to four: what one ordinary event in 30 shows, up to one in 100,000. Which
share of them a model version alerts, at a threshold that keeps the alert budget, says how tightly
it encloses what is ordinary. Choosing parameters of one-class detectors by generated outliers is
Tax and Duin, "Uniform Object Generation for Optimizing One-class Classifiers", JMLR 2 (2001); they
draw from a sphere around the data, here few features move at a time, since between 33 of them a
sphere is all outside.

It knows nothing of how real attacks combine features. Ma, Zhao, Zhang and Akoglu, "The Need for
Unsupervised Outlier Model Selection", SIGKDD Explorations 25 (2023), found no criterion without
labels to be reliable: labels, even few, are better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocessing.features import CAP, NAMES
from preprocessing.surprise import COMMONPLACE, Surprise, notable
from preprocessing.trail import FIELDS, Trails

Features = NDArray[np.float32]

#: Excursions made; their share that is caught is then known to about 0.01.
COUNT = 2000
#: Most features raised at once.
MOST_RAISED = 3
#: Decades beyond the commonplace, from a little under what is told as a reason.
DECADES = (0.5, 4.0)


_FIELDS = [field.name for field in FIELDS]
#: The field of a step whose level is the whole units of a feature.
_FIELD_OF: dict[str, str] = {
    "hour_bits": "hour",
    **{
        f"{name}_user_bits": name
        for name in ("country", "network", "device", "resource", "agent", "method")
    },
    "kind_user_bits": "habit",
    "resource_tenant_bits": "tenant_resource",
    "bytes_user": "bytes",
    "home_distance": "away",
    "user_failures": "failures",
    "mfa_denials": "denials",
    "rate": "rate",
}


def excursions(
    rows: Features, surprise: Surprise, *, seed: int, count: int = COUNT
) -> tuple[Features, NDArray[np.intp]]:
    """``count`` rows made from the features (n, d), n >= 1, of later events: float32 (count, d),
    and of which row each was made (count,)."""
    rng = np.random.default_rng(seed)
    usual = np.flatnonzero(~notable(surprise(rows)))
    base = usual if len(usual) else np.arange(len(rows))
    drawn = base[rng.integers(len(base), size=count)]
    made = rows[drawn].astype(np.float32)
    raised = _raised(rng, count, rows.shape[1])
    decades = rng.uniform(*DECADES, size=made.shape)
    for index, curve in enumerate(surprise.curves):
        value = np.interp(decades[:, index] + COMMONPLACE, curve.decades, curve.value)
        made[:, index] = np.where(
            raised[:, index], np.maximum(made[:, index], value), made[:, index]
        )
    return np.clip(made, 0.0, CAP), drawn


def shown(trails: Trails, made: Features) -> Trails:
    """The trails (count, LENGTH, WIDTH) of the events that rows were made of, their last step
    showing at least what the rows (count, d) do, in the fields of the same measure."""
    changed = trails.copy()
    for feature, field in _FIELD_OF.items():
        column = _FIELDS.index(field)
        most = FIELDS[column].levels - 1
        level = np.minimum(made[:, NAMES.index(feature)], most).astype(np.uint8)
        changed[:, -1, column] = np.maximum(changed[:, -1, column], level + 1)
    return changed


def _raised(rng: np.random.Generator, count: int, width: int) -> NDArray[np.bool_]:
    """One to three features of each row, (count, width)."""
    order = rng.random((count, width)).argsort(axis=1).argsort(axis=1)
    return np.asarray(order < rng.integers(1, MOST_RAISED + 1, size=(count, 1)))
