"""The parity check, and that it refuses a file which scores differently."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.base import Features
from models.export import ParityError, check_parity, write_checked
from models.isolation_forest import IsolationForest


@pytest.fixture(scope="module")
def training() -> Features:
    return np.random.default_rng(0).exponential(size=(600, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def forest(training: Features) -> IsolationForest:
    return IsolationForest(n_trees=20).fit(training)


def test_agreement_within_the_spread() -> None:
    scores = np.array([0.0, 10.0])
    check_parity("any", scores, scores + 0.0009)


def test_difference_is_reported_with_its_numbers() -> None:
    scores = np.array([0.0, 10.0])
    with pytest.raises(ParityError, match=r"differ by 0.0011, expected at most 0.001") as raised:
        check_parity("any", scores, scores + np.array([0, 0.0011]))
    assert raised.value.detector == "any"
    assert raised.value.worst == pytest.approx(0.0011)
    assert raised.value.allowed == pytest.approx(0.001)


def test_nan_is_a_difference() -> None:
    with pytest.raises(ParityError):
        check_parity("any", np.array([0.0, 1.0]), np.array([0.0, np.nan]))


def test_equal_scores_leave_room_for_rounding_only() -> None:
    same = np.full(3, 0.5)
    check_parity("any", same, same + 1e-7)
    with pytest.raises(ParityError):
        check_parity("any", same, same + 1e-4)


def test_one_changed_leaf_is_refused(
    forest: IsolationForest, training: Features, tmp_path: Path
) -> None:
    path = tmp_path / "forest.onnx"
    forest.export(path)
    model = onnx.load(path)
    trees = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    weights = next(item for item in trees.attribute if item.name == "target_weights")
    weights.floats[3] += 5  # a leaf that no training row reaches
    refused = tmp_path / "refused.onnx"
    with pytest.raises(ParityError, match="isolation_forest"):
        write_checked(
            refused,
            model.SerializeToString(),
            detector="isolation_forest",
            sample=training,
            score=forest.score,
        )
    assert not refused.exists()


def test_a_changed_constant_is_refused(
    forest: IsolationForest, training: Features, tmp_path: Path
) -> None:
    path = tmp_path / "forest.onnx"
    forest.export(path)
    model = onnx.load(path)
    centre = model.graph.initializer[2]
    centre.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(centre) + 0.05, centre.name))
    with pytest.raises(ParityError):
        write_checked(
            path,
            model.SerializeToString(),
            detector="isolation_forest",
            sample=training,
            score=forest.score,
        )


def test_the_same_detector_gives_the_same_file(forest: IsolationForest, tmp_path: Path) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    forest.export(first)
    forest.export(second)
    assert first.read_bytes() == second.read_bytes()
