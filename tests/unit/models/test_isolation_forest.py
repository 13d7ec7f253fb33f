"""What is particular to the forest: thresholds, depths and the flat region beyond the last cut."""

import numpy as np
import pytest
from sklearn.ensemble._iforest import _average_path_length

from models.base import InvalidParameter
from models.isolation_forest import IsolationForest, _rounded_down, _usual_depth
from models.scaling import distance


def test_thresholds_round_towards_minus_infinity() -> None:
    rng = np.random.default_rng(0)
    thresholds = np.concatenate([rng.normal(0, 10, 10_000), [0.1, -0.1, 0.5, 0.0]])
    rounded = _rounded_down(thresholds)
    assert rounded.dtype == np.float32
    nearest = thresholds.astype(np.float32)
    for x in (nearest, np.nextafter(nearest, np.float32(9e9)), np.nextafter(nearest, -np.inf)):
        x32 = x.astype(np.float32)
        np.testing.assert_array_equal(x32 <= thresholds, x32 <= rounded)


def test_usual_depth_is_that_of_scikit_learn() -> None:
    n = np.arange(0, 300)
    np.testing.assert_allclose(_usual_depth(n), _average_path_length(n))


def test_score_is_that_of_the_plain_forest_and_the_distance() -> None:
    x = np.random.default_rng(0).exponential(size=(300, 3)).astype(np.float32)
    forest = IsolationForest(n_trees=10).fit(x)
    fitted = forest._fitted
    assert fitted is not None
    y = fitted.scaling.apply(x)
    plain = -fitted.forest.score_samples(y)
    np.testing.assert_allclose(forest.score(x), plain + 0.01 * distance(y), rtol=1e-12)


@pytest.mark.parametrize("wrong", [{"n_trees": 0}, {"sample_size": 1}])
def test_parameters(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidParameter, match=r"isolation_forest: .* must be at least"):
        IsolationForest(**wrong)
