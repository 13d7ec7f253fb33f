"""Isolation Forest: how few random cuts separate an event from the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest as Forest

from models.base import Features, NotFitted, Range, View, checked, require
from models.export import Graph, write_checked
from models.onnx_scorer import INPUT
from models.sample import training_sample
from models.scaling import Scaling, add_distance, distance

_DISTANCE = 0.01
"""Weight of the distance from the centre. In the generator's enterprise scenario (2 % anomalous,
30,000 events, seeds 41 and 42, judged on the last 40 %) average precision is 0.770 and 0.748 at 0,
0.778 and 0.756 from 0.01 to 0.04; with 40 % attacks from the first day ROC-AUC is 0.934 and 0.939.
"""


class IsolationForest:
    """Isolation Forest on robustly scaled features, and the distance from the centre.

    Random axis-parallel cuts isolate an unusual event after few of them. The score is `2 **
    (-E(h) / c(n))`, where E(h) is the mean depth over the trees and c(n) the mean depth of an
    unsuccessful search among the n rows a tree was grown on: about 0.4 for an ordinary event,
    towards 1 for an isolated one. To it is added `0.01 * distance`, the summed distance (scaled
    features) from the centre.

    Two weaknesses of plain forests are mended, because features here are often constant in
    ordinary training data and large in attacks. A forest cannot cut a constant column, so noise
    fills every column up to unit variance before the trees are grown (about 0.4 bits for a
    constant one; on synthetic logins average precision rose from 0.45 to 0.8; maximum, top-3 sum
    and sum as extra columns did no better without the noise, and harmed with it). And a forest
    cannot tell distances apart beyond its outermost cut, which `distance` does.

    When it fails: anomalies that are dense (many equal attacks in training look ordinary), and
    unusual combinations of individually usual values. Cost: fitting grows with `n_trees *
    sample_size` and hardly with the rows; scoring with `n_trees * log2(sample_size)` comparisons
    per event.

    Parameters
    ----------
    n_trees
        Trees in the forest, 1 or more. The paper finds depths converged well before 100; more
        steadies the order of the most anomalous.
    sample_size
        Rows each tree is grown on, 2 or more; fewer when there are not as many.
    seed
        Of noise and trees, 0 or more.

    Example
    -------
    >>> x = np.random.default_rng(0).exponential(size=(500, 4)).astype(np.float32)
    >>> x[:, 3] = 0
    >>> forest = IsolationForest(seed=1).fit(x)
    >>> usual, failures = forest.score(np.array([[1, 1, 1, 0], [1, 1, 1, 5]], dtype=np.float32))
    >>> bool(failures > forest.score(x).max() > usual)
    True

    Reference: F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008.
    """

    name: ClassVar[str] = "isolation_forest"
    sees: ClassVar[View] = "features"
    search_space: ClassVar[Mapping[str, Range]] = {
        "n_trees": Range(low=50, high=400, kind="int", log=True),
        "sample_size": Range(low=64, high=2048, kind="int", log=True),
    }
    effort: ClassVar[str] = "n_trees"
    tile: ClassVar[int] = 128

    def __init__(self, *, n_trees: int = 200, sample_size: int = 256, seed: int = 0) -> None:
        require(n_trees >= 1, self.name, "n_trees", n_trees, "at least 1")
        require(sample_size >= 2, self.name, "sample_size", sample_size, "at least 2")
        require(seed >= 0, self.name, "seed", seed, "0 or more")
        self.n_trees = n_trees
        self.sample_size = sample_size
        self.seed = seed
        self._fitted: _Fitted | None = None

    def fit(self, x: Features) -> Self:
        rows = checked(x)
        scaling = Scaling.fit(rows)
        y = scaling.apply(rows)
        noisy = _with_noise(y, np.random.default_rng(self.seed))
        forest = Forest(
            n_estimators=self.n_trees,
            max_samples=min(self.sample_size, len(noisy)),
            random_state=self.seed,
        ).fit(noisy)
        self._fitted = _Fitted(scaling, forest, training_sample(rows, self.seed))
        return self

    def score(self, x: Features) -> NDArray[np.float64]:
        return self._learnt().score(x)

    def export(self, path: Path) -> None:
        fitted = self._learnt()
        content = fitted.onnx(tile=self.tile)
        sample = fitted.sample
        write_checked(path, content, detector=self.name, sample=sample, score=fitted.score)

    def _learnt(self) -> _Fitted:
        if self._fitted is None:
            raise NotFitted(self.name)
        return self._fitted


@dataclass(frozen=True, slots=True)
class _Fitted:
    scaling: Scaling
    forest: Forest
    sample: Features

    def score(self, x: Features) -> NDArray[np.float64]:
        y = self.scaling.apply(checked(x, len(self.scaling.centre)))
        if len(y) == 0:
            return np.empty(0)
        isolation: NDArray[np.float64] = -self.forest.score_samples(y)
        return isolation + _DISTANCE * distance(y)

    def onnx(self, *, tile: int) -> bytes:
        graph = Graph(len(self.scaling.centre))
        y = self.scaling.add_to(graph, INPUT)
        depths = graph.add(
            "TreeEnsembleRegressor", y, domain="ai.onnx.ml", **_ensemble(self.forest)
        )
        # 2 ** (-sum of depths / (trees * c(n))), as scikit-learn normalises it.
        norm = len(self.forest.estimators_) * _usual_depth(np.array([self.forest.max_samples_]))[0]
        exponent = graph.add("Mul", depths, graph.constant(-1.0 / norm))
        score = graph.add("Pow", graph.constant(2.0), exponent)
        n_features = len(self.scaling.centre)
        whole = add_distance(graph, y, score, n_features=n_features, weight=_DISTANCE)
        return graph.model(whole, tile=tile)


def _with_noise(y: Features, rng: np.random.Generator) -> Features:
    """Scaled features with every column filled up to unit variance; two rows at least, for a tree
    to cut."""
    rows = np.repeat(y, 2, axis=0) if len(y) == 1 else y
    missing = np.sqrt(np.maximum(0.0, 1.0 - rows.var(axis=0, dtype=np.float64)))
    noisy: Features = (rows + missing * rng.normal(size=rows.shape)).astype(np.float32)
    return noisy


def _usual_depth(n: NDArray[Any]) -> NDArray[np.float64]:
    """c(n) of the paper's equation 1: mean depth of an unsuccessful search in a binary tree of n
    rows."""
    size = n.astype(np.float64)
    harmonic = np.log(np.maximum(size - 1.0, 1.0)) + np.euler_gamma
    many = 2.0 * harmonic - 2.0 * (size - 1.0) / np.maximum(size, 1.0)
    return np.select([n <= 1, n == 2], [0.0, 1.0], many)


def _ensemble(forest: Forest) -> dict[str, Any]:
    """Attributes of ONE TreeEnsembleRegressor that sums, over the trees, leaf depth + c(rows in
    the leaf).

    One operator whose leaves hold the path length: 0.02 ms for a row, where a converter that
    counts the nodes of each tree apart takes 7 ms.
    """
    trees = [_tree(number, estimator.tree_) for number, estimator in enumerate(forest.estimators_)]
    joined = {key: np.concatenate([tree[key] for tree in trees]).tolist() for key in trees[0]}
    leaf = np.array(joined["nodes_featureids"]) < 0
    joined["nodes_featureids"] = np.maximum(joined["nodes_featureids"], 0).tolist()
    return {
        **{key: values for key, values in joined.items() if key != "depth"},
        "nodes_modes": ["LEAF" if is_leaf else "BRANCH_LEQ" for is_leaf in leaf],
        "target_treeids": np.array(joined["nodes_treeids"])[leaf].tolist(),
        "target_nodeids": np.array(joined["nodes_nodeids"])[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": np.array(joined["depth"])[leaf].tolist(),
        "n_targets": 1,
        "aggregate_function": "SUM",
    }


def _tree(number: int, tree: Any) -> dict[str, NDArray[Any]]:
    """Node arrays of one scikit-learn tree; `nodes_featureids` is negative for a leaf."""
    leaf = tree.children_left < 0
    return {
        "nodes_treeids": np.full(tree.node_count, number),
        "nodes_nodeids": np.arange(tree.node_count),
        "nodes_featureids": tree.feature,
        "nodes_values": np.where(leaf, np.float32(0), _rounded_down(tree.threshold)),
        "nodes_truenodeids": np.where(leaf, 0, tree.children_left),
        "nodes_falsenodeids": np.where(leaf, 0, tree.children_right),
        "depth": _depths(tree) + _usual_depth(tree.n_node_samples),
    }


def _rounded_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each threshold.

    scikit-learn compares a float32 feature with a float64 threshold; for a float32 x, `x <= t` and
    `x <= _rounded_down(t)` are the same decision, rounding to nearest is not.
    """
    nearest = threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > threshold, below, nearest)


def _depths(tree: Any) -> NDArray[np.float64]:
    """Edges from the root to each node; children are numbered after their parent."""
    depths = np.zeros(tree.node_count)
    for node in np.flatnonzero(tree.children_left >= 0):
        depths[tree.children_left[node]] = depths[node] + 1
        depths[tree.children_right[node]] = depths[node] + 1
    return depths
