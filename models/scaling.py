"""Features on one scale, and how far they leave it: in numpy and in every ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from models.base import Features, NoEvents, checked

if TYPE_CHECKING:
    from models.export import Graph

SCALE_FLOOR = 0.25
"""Smallest scale of a feature, in bits. A quarter of a meaningful step is still noise."""
_FARTHEST = 2000.0
"""Scaled values are cut here, at 500 bits for a feature that never varied: no feature goes there,
and no float32 input can overflow."""
_NORMAL_QUARTILES = 1.349
"""Interquartile range of the standard normal distribution."""
_NORMAL_95 = 1.645
"""Its 95 % quantile."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Robust centre and scale, then a map that keeps small steps and shortens long ones.

    z = (x - centre) / scale,  y = sign(z) * (sqrt(1 + 2 |z|) - 1)

    `centre` is the median. `scale` is the larger of the quartile and the 95 % estimates of a
    normal's standard deviation, so that a feature which is 0 for most events and 3 for a few does
    not make those few extreme; it is never below `SCALE_FLOOR`, so a feature that was constant in
    training still counts when it moves. y is z near 0 and grows like its square root far out: an
    excursion of 15 bits outranks one of 5 without drowning every other feature. Only correctly
    rounded float32 operations are used (subtract, multiply, square root): numpy and onnxruntime
    give the same bits, which a tree that compares with a threshold needs.

    >>> scaling = Scaling.fit(np.zeros((10, 1), dtype=np.float32))
    >>> scaling.apply(np.array([[0.0], [1.0], [10.0]], dtype=np.float32)).round(2).tolist()
    [[0.0], [2.0], [8.0]]
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, x: Features) -> Self:
        """Centre and scale of features (n, d); raises `NoEvents`, `WrongShape` or `NotFinite`."""
        rows = checked(x)
        if len(rows) == 0:
            raise NoEvents
        levels = (0.05, 0.25, 0.5, 0.75, 0.95)
        q05, q25, q50, q75, q95 = np.quantile(rows.astype(np.float64), levels, axis=0)
        tail = np.maximum(q95 - q50, q50 - q05) / _NORMAL_95
        scale = np.maximum((q75 - q25) / _NORMAL_QUARTILES, tail).clip(SCALE_FLOOR, _LARGEST / 4)
        return cls(q50.astype(np.float32), scale.astype(np.float32))

    def apply(self, x: Features) -> Features:
        """Scaled features, float32, shape unchanged, within ±63."""
        low, high, inverse = self._bounds()
        z = (np.minimum(np.maximum(x, low), high) - self.centre) * inverse
        root = np.sqrt(np.abs(z) * np.float32(2) + np.float32(1)) - np.float32(1)
        scaled: Features = np.sign(z) * root
        return scaled

    def add_to(self, graph: Graph, features: str) -> str:
        """The nodes of `apply`, operation by operation."""
        low, high, inverse = (graph.constant(value) for value in self._bounds())
        near = graph.add("Min", graph.add("Max", features, low), high)
        z = graph.add("Mul", graph.add("Sub", near, graph.constant(self.centre)), inverse)
        doubled = graph.add("Mul", graph.add("Abs", z), graph.constant(2.0))
        root = graph.add("Sqrt", graph.add("Add", doubled, graph.constant(1.0)))
        length = graph.add("Sub", root, graph.constant(1.0))
        return graph.add("Mul", graph.add("Sign", z), length)

    def _bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        reach = self.scale.astype(np.float64) * _FARTHEST
        low = np.maximum(self.centre - reach, -_LARGEST).astype(np.float32)
        high = np.minimum(self.centre + reach, _LARGEST).astype(np.float32)
        return low, high, np.float32(1) / self.scale


def distance(y: Features) -> NDArray[np.float64]:
    """How far events lie from the centre, (n,): the scaled features (n, d), summed without sign.

    Detectors go flat where they have seen little: a tree beyond its outermost cut, a kernel far
    from every vector, an autoencoder that happens to copy. Each adds this, weighted, to its score,
    which then grows wherever an event goes, and in proportion to how many of its features do.
    Whatever else training events hold cannot bend it, while the part beyond their range alone,
    which stood here before, is less wherever attacks are among them, and rates the rarest ordinary
    value, never trained on by chance, above any number of strange ones together.
    """
    summed: NDArray[np.float64] = np.abs(y).sum(axis=1, dtype=np.float64)
    return summed


def add_distance(graph: Graph, y: str, score: str, *, n_features: int, weight: float) -> str:
    """The nodes of `score + weight * distance(y)`, for a score of shape (n, 1)."""
    weights = graph.constant(np.full((n_features, 1), weight))
    return graph.add("Add", score, graph.add("MatMul", graph.add("Abs", y), weights))
