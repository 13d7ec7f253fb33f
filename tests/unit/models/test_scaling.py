"""One scale for all features, in numpy and in ONNX alike."""

import numpy as np
import pytest

from models.base import Features, NoEvents
from models.export import Graph
from models.onnx_scorer import INPUT, OnnxScorer
from models.scaling import Scaling, distance


def features(n: int = 400) -> Features:
    x = np.random.default_rng(0).normal(3, 2, (n, 3))
    x[:, 2] = 0
    return x.astype(np.float32)


def test_floor_for_a_constant_feature() -> None:
    assert Scaling.fit(features()).scale[2] == 0.25


def test_normal_feature_gets_its_deviation() -> None:
    scaling = Scaling.fit(features(20_000))
    np.testing.assert_allclose(scaling.centre[:2], 3, atol=0.1)
    np.testing.assert_allclose(scaling.scale[:2], 2, atol=0.1)


def test_a_tenth_of_larger_values_widens_the_scale() -> None:
    x = np.zeros((100, 1), dtype=np.float32)
    x[:10] = 3
    assert Scaling.fit(x).scale[0] == pytest.approx(3 / 1.645, rel=1e-3)


def test_small_steps_are_kept_and_long_ones_shortened() -> None:
    scaling = Scaling.fit(np.zeros((4, 1), dtype=np.float32))
    y = scaling.apply(np.array([[-1], [0], [0.001], [1], [25]], dtype=np.float32))[:, 0]
    np.testing.assert_allclose(y, [-2, 0, 0.004, 2, 13.177], rtol=3e-3)


def test_extremes_do_not_overflow() -> None:
    limit = np.finfo(np.float32).max
    scaling = Scaling.fit(np.array([[-limit], [limit], [0]], dtype=np.float32))
    assert np.isfinite(scaling.apply(np.array([[limit], [-limit]], dtype=np.float32))).all()


def test_no_rows() -> None:
    with pytest.raises(NoEvents, match="at least 1 row"):
        Scaling.fit(np.empty((0, 2), dtype=np.float32))


def test_onnx_gives_the_same_bits() -> None:
    scaling = Scaling.fit(features())
    x = (np.random.default_rng(1).normal(0, 30, (5000, 3))).astype(np.float32)
    for column in range(3):
        graph = Graph(3)
        pick = graph.constant(np.array([column]), np.int64)
        content = graph.model(
            graph.add("Gather", scaling.add_to(graph, INPUT), pick, axis=1), tile=64
        )
        scores = OnnxScorer(content, name="scaling", version="1").score(x).values
        np.testing.assert_array_equal(scores, scaling.apply(x)[:, column].astype(np.float64))


def test_distance_sums_over_features_whatever_their_sign() -> None:
    y = np.array([[0, 0], [2, 1], [5, 0], [-1, -3]], dtype=np.float32)
    assert distance(y).tolist() == [0, 3, 5, 4]
