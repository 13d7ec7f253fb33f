"""What is particular to the SVM: its score is scikit-learn's on a logarithmic scale."""

import numpy as np
import pytest

from models.base import InvalidParameter
from models.one_class_svm import OneClassSVM
from models.scaling import distance


def test_is_that_of_scikit_learn_and_the_distance() -> None:
    x = np.random.default_rng(0).exponential(size=(800, 3)).astype(np.float32)
    detector = OneClassSVM().fit(x)
    fitted = detector._fitted
    assert fitted is not None
    y = fitted.scaling.apply(x)
    kernel_sum = fitted.svm.score_samples(y.astype(np.float64))
    expected = np.log(fitted.svm.offset_[0]) - np.log(kernel_sum) + 0.3 * distance(y)
    np.testing.assert_allclose(detector.score(x), expected, atol=1e-9)


def test_border_is_zero_but_for_the_distance() -> None:
    x = np.random.default_rng(0).exponential(size=(800, 3)).astype(np.float32)
    detector = OneClassSVM(nu=0.2).fit(x)
    fitted = detector._fitted
    assert fitted is not None
    outside = detector.score(x) - 0.3 * distance(fitted.scaling.apply(x)) > 0
    assert outside.mean() == pytest.approx(0.2, abs=0.02)


def test_large_training_sets_are_drawn_from() -> None:
    x = np.random.default_rng(0).exponential(size=(500, 3)).astype(np.float32)
    fitted = OneClassSVM(nu=0.5, max_rows=50).fit(x)._fitted
    assert fitted is not None
    assert len(fitted.svm.support_) <= 50


@pytest.mark.parametrize("wrong", [{"nu": 0}, {"nu": 1.5}, {"width": 0}, {"max_rows": 0}])
def test_parameters(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidParameter, match="one_class_svm: "):
        OneClassSVM(**wrong)
