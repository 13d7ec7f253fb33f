"""What every detector promises: `Detector`, `Scores`, the search `Range`, and the errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
"""(n_events, n_features), every value finite, in bits: 0 is ordinary, one unit is a meaningful
step."""
Trails = NDArray[np.uint8]
"""(n_events, n_steps, n_fields), a user's last events as levels, oldest first, the event itself
last; zeros where there was none yet."""

View = Literal["features", "trails"]
"""What a detector may see of an event; also the name of the input of its ONNX file."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Raw scores of one detector for one batch of events.

    `values` has shape (n_events,). Higher is more anomalous; the scale is the detector's own, so
    scores of two detectors are comparable only after calibration (`ensemble`). `version` is the
    model version that made them.
    """

    detector: str
    version: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Range:
    """Where a search may look for one parameter of a detector: an interval, or a tuple of choices.

    `low` and `high` are both included; `log` spreads the search evenly over orders of magnitude.

    >>> Range(low=50, high=400, kind="int").contains(200)
    True
    >>> Range(choices=("relu", "tanh")).contains("sigmoid")
    False
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    kind: Literal["int", "float", "choice"] = "float"
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            object.__setattr__(self, "kind", "choice")
        elif self.kind == "choice":
            raise ValueError("a range of kind 'choice' needs at least one choice")
        elif not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        elif self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range must start above 0, got {self.low}")

    def contains(self, value: Any) -> bool:
        if self.kind == "choice":
            return value in self.choices
        whole = self.kind == "float" or float(value).is_integer()
        return whole and self.low <= value <= self.high


class Detector(Protocol):
    """Learns what is ordinary from unlabelled events and scores how far an event is from it.

    Parameters are keyword-only `__init__` arguments with defaults, `seed` among them; a bad one
    raises `InvalidParameter`. A detector knows no threshold and does not calibrate.
    """

    name: ClassVar[str]
    """Its key in `models.DETECTORS`."""
    search_space: ClassVar[Mapping[str, Range]]
    """Parameters worth tuning, by `__init__` keyword."""
    sees: ClassVar[View]
    """Which array `fit` and `score` take: features (n_events, n_features), or trails (n_events,
    n_steps, n_fields)."""
    effort: ClassVar[str]
    """The whole-numbered `__init__` keyword that fitting takes longer and does better with (epochs,
    trees, rows): a search first tries parameters with a part of it."""

    def fit(self, x: NDArray[Any]) -> Self:
        """Learn from ordinary events, as far as the detector `sees` them, and return self; `x` is
        left as it was.

        Called once per instance. One row is enough to get an answer, though not a good one. The
        same rows, order and seed give the same detector. Raises `NoEvents`, `WrongShape` or
        `NotFinite`.
        """
        ...

    def score(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Scores of shape (n_events,), higher is more anomalous, never NaN.

        Pure and thread-safe; an event's score does not depend on the others in the batch. Raises
        `NotFitted`, and `WrongShape` or `NotFinite` for events it cannot have learnt from.
        """
        ...

    def export(self, path: Path) -> None:
        """Write one ONNX file: input called as what it `sees`, `features` float32 (n, n_features)
        or `trails` uint8 (n, n_steps, n_fields), output `score` float32 (n,).

        Raises `NotFitted`, or `ParityError` when the file does not give the scores of `score`;
        nothing is then written.
        """
        ...


class ModelError(Exception):
    """Root of every error of this package."""


class UnknownDetector(ModelError):
    """No detector of this name exists."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown detector {name!r}, expected one of {', '.join(known)}")
        self.name = name
        self.known = known


class InvalidParameter(ModelError):
    """A detector was constructed with a parameter outside its range."""

    def __init__(self, detector: str, parameter: str, value: object, expected: str) -> None:
        super().__init__(f"{detector}: {parameter} must be {expected}, got {value!r}")
        self.detector = detector
        self.parameter = parameter
        self.value = value
        self.expected = expected


class NotFitted(ModelError):
    """`score` or `export` was called before `fit`."""

    def __init__(self, detector: str) -> None:
        super().__init__(f"{detector} has not learnt anything yet: call fit() first")
        self.detector = detector


class NoEvents(ModelError):
    """`fit` was called with no rows at all."""

    def __init__(self) -> None:
        super().__init__("cannot learn from 0 events, expected at least 1 row")


class WrongShape(ModelError):
    """The features, or trails, of an event have not the shape the detector was fitted on."""

    def __init__(
        self, expected: tuple[int | None, ...], shape: tuple[int, ...], view: View = "features"
    ) -> None:
        sizes = ", ".join("at least 1" if size is None else str(size) for size in expected)
        super().__init__(f"expected {view} of shape (n_events, {sizes}), got {shape}")
        self.expected = expected
        self.shape = shape


class NotFinite(ModelError):
    """A feature is NaN or infinite; the first such place is named."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__(
            f"feature in row {row}, column {column} is not finite; expected NaN-free bits"
        )
        self.row = row
        self.column = column


def checked(x: NDArray[Any], n_features: int | None = None) -> Features:
    """`x` as C-contiguous float32 of shape (n, n_features), a copy only where needed.

    Raises `WrongShape` or `NotFinite`. `n_features` None accepts any number of columns but 0.
    """
    if x.ndim != 2 or x.shape[1] == 0 or n_features not in (None, x.shape[1]):
        raise WrongShape((n_features,), x.shape)
    # Beyond float32 a float64 would overflow to infinity with a warning; judge it before the cast.
    finite = np.isfinite(x) if x.dtype == np.float32 else np.abs(x) <= np.finfo(np.float32).max
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise NotFinite(row, column)
    return np.ascontiguousarray(x, dtype=np.float32)


def checked_trails(x: NDArray[Any], shape: tuple[int, ...] | None = None) -> Trails:
    """`x` as C-contiguous uint8 of shape (n, *shape), a copy only where needed; raises
    `WrongShape`."""
    if x.ndim != 3 or x.dtype != np.uint8 or shape not in (None, x.shape[1:]):
        raise WrongShape(shape or (None, None), x.shape, "trails")
    return np.ascontiguousarray(x)


def require(ok: bool, detector: str, parameter: str, value: object, expected: str) -> None:
    """Raise `InvalidParameter` unless `ok`."""
    if not ok:
        raise InvalidParameter(detector, parameter, value, expected)
