"""ONNX files written node by node, and the check that a file gives its detector's scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.base import ModelError, View
from models.onnx_scorer import OUTPUT, TILE_KEY, OnnxScorer

OPSETS = (("", 17), ("ai.onnx.ml", 3))
"""Old enough for every onnxruntime since 1.12, new enough for every operator used here."""
IR_VERSION = 8
PARITY = 1e-4
"""Largest difference allowed between ONNX and detector, as a share of the score's spread."""
ROUNDING = 1e-5
"""What float32 may cost in any case, as a share of a score's size (of order 1 for every detector):
some hundred roundings of 6e-8 each."""
_STREWN_BITS = 3.0
_TYPES: dict[View, int] = {"features": TensorProto.FLOAT, "trails": TensorProto.UINT8}


class ParityError(ModelError):
    """The ONNX form of a detector does not give the detector's scores."""

    def __init__(self, detector: str, worst: float, allowed: float) -> None:
        super().__init__(
            f"{detector}: ONNX and detector differ by {worst:.3g}, expected at most {allowed:.3g}"
        )
        self.detector = detector
        self.worst = worst
        self.allowed = allowed


class Graph:
    """An ONNX graph under construction; a method returns the name of the tensor it made.

    `shape` is that of one event's features, or of its trail.
    """

    FLOAT = int(TensorProto.FLOAT)
    INT64 = int(TensorProto.INT64)

    def __init__(self, *shape: int, sees: View = "features") -> None:
        self.sees = sees
        self.shape = shape
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | Sequence[int] | float, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append one node; with more than one output the first is returned, the others are left
        unused."""
        names = [f"{operator}_{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0]

    def split(self, x: str, parts: int, *, axis: int) -> list[str]:
        """Equal parts of a tensor along one axis."""
        names = [f"Split_{len(self._nodes)}_{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], names, axis=axis))
        return names

    def model(self, score: str, *, tile: int) -> bytes:
        """The finished file: `score`, of shape (n,) or (n, 1), becomes the output; `tile` its
        preferred batch."""
        flat = self.add("Reshape", score, self.constant(np.array([-1]), np.int64))
        nodes = [*self._nodes, helper.make_node("Identity", [flat], [OUTPUT])]
        graph = helper.make_graph(
            nodes,
            "ztad",
            [helper.make_tensor_value_info(self.sees, _TYPES[self.sees], ["n", *self.shape])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"])],
            self._constants,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ztad"
        )
        helper.set_model_props(model, {TILE_KEY: str(tile)})
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def check_parity(
    detector: str, detector_scores: NDArray[np.float64], onnx_scores: NDArray[np.float64]
) -> None:
    """Raise `ParityError` unless both agree to `PARITY` of the spread of `detector_scores`.

    The spread is max - min. Both arrays have shape (n,), for the same rows. A NaN on either side is
    a difference. Where scores hardly vary (few or equal training rows), `ROUNDING` of their size is
    allowed.
    """
    size = max(1.0, float(np.abs(detector_scores).max()))
    allowed = max(PARITY * float(np.ptp(detector_scores)), ROUNDING * size)
    worst = float(np.abs(detector_scores - onnx_scores).max())
    if not worst <= allowed:
        raise ParityError(detector, worst, allowed)


def write_checked(
    path: Path,
    content: bytes,
    *,
    detector: str,
    sample: NDArray[Any],
    score: Callable[[Any], NDArray[np.float64]],
) -> None:
    """Write ONNX bytes to `path` after checking them against `score`, the detector's own function.

    Checked twice: on `sample` (n, ...), training rows, and on the same rows strewn far around,
    which visit the parts of a tree that no training row does.
    """
    scorer = OnnxScorer(content, name=detector, version="export")
    for rows in (sample, _strewn(sample)):
        check_parity(detector, score(rows), scorer.score(rows).values)
    path.write_bytes(content)


def _strewn(sample: NDArray[Any]) -> NDArray[Any]:
    strewn = np.random.default_rng(0).normal(sample, _STREWN_BITS)
    if sample.dtype != np.uint8:
        return strewn.astype(np.float32)
    # Where there was no event yet, there is still none.
    there = sample.any(axis=-1, keepdims=True)
    return np.where(there, np.clip(strewn, 1, 255), 0).astype(np.uint8)
