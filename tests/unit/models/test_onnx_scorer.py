"""The serving side of an exported detector."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.base import Features, NotFinite, WrongShape
from models.export import Graph
from models.onnx_scorer import INPUT, NotADetector, OnnxScorer


def total(*, tile: int = 4) -> bytes:
    """A detector whose score is the sum of its three features."""
    graph = Graph(3)
    return graph.model(graph.add("MatMul", INPUT, graph.constant(np.ones((3, 1)))), tile=tile)


def rows(n: int) -> Features:
    return np.arange(n * 3, dtype=np.float32).reshape(n, 3)


def test_scores_carry_name_and_version() -> None:
    scores = OnnxScorer(total(), name="total", version="2026-11-22.1").score(rows(2))
    assert (scores.detector, scores.version) == ("total", "2026-11-22.1")
    assert scores.values.dtype == np.float64
    assert scores.values.tolist() == [3, 12]


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 9])
@pytest.mark.parametrize("tile", [1, 4, 100])
def test_tiles_cover_every_row(n: int, tile: int) -> None:
    scores = OnnxScorer(total(), name="total", version="1", tile=tile).score(rows(n))
    assert scores.values.tolist() == rows(n).sum(axis=1).tolist()


def test_the_file_knows_its_tile() -> None:
    assert OnnxScorer(total(tile=32), name="total", version="1").tile == 32
    assert OnnxScorer(total(tile=32), name="total", version="1", tile=8).tile == 8


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "total.onnx"
    path.write_bytes(total())
    scorer = OnnxScorer(path, name="total", version="1")
    assert (scorer.sees, scorer.shape) == ("features", (3,))


def test_bad_features() -> None:
    scorer = OnnxScorer(total(), name="total", version="1")
    with pytest.raises(WrongShape, match=r"expected features of shape \(n_events, 3\)"):
        scorer.score(np.zeros((1, 2), dtype=np.float32))
    with pytest.raises(NotFinite):
        scorer.score(np.full((1, 3), np.nan, dtype=np.float32))


def test_not_onnx() -> None:
    with pytest.raises(NotADetector, match=r"total: .*expected an ONNX file"):
        OnnxScorer(b"GIF89a", name="total", version="1")


def test_many_threads() -> None:
    scorer = OnnxScorer(total(), name="total", version="1")
    expected = rows(50).sum(axis=1).tolist()
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: scorer.score(rows(50)).values.tolist(), range(200))
    assert all(answer == expected for answer in answers)
