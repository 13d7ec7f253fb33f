"""What serving runs: one ONNX file, one thread, in tiles. Imports numpy and onnxruntime only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.base import ModelError, Scores, View, checked, checked_trails

INPUT: View = "features"
OUTPUT = "score"
TILE_KEY = "ztad.tile"
DEFAULT_TILE = 256
"""Rows per run for a file that does not say; between 256 and 1,024 the dense graphs are equally
fast."""
_ERRORS_ONLY = 3
_DTYPES: dict[View, type[Any]] = {"features": np.float32, "trails": np.uint8}


class NotADetector(ModelError):
    """The bytes are not an ONNX detector of ours."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"{name}: {reason}; expected an ONNX file written by a detector's export()"
        )
        self.name = name
        self.reason = reason


class OnnxScorer:
    """Scores events with an exported detector.

    One intra-op thread: a replica owns its share of a core, and replicas are what scales. Rows
    are scored in tiles, which bounds memory (a kernel matrix is rows times vectors) and keeps the
    tile in cache: trees are fastest on 64 to 256 rows, dense graphs on 256 to 1,024. The file
    carries the tile measured for it; `tile` overrides that.

    `sees` says which array `score` takes, `shape` that of one event in it.

    `score` is pure and thread-safe: an onnxruntime session may run in several threads at once,
    and nothing else is kept between calls.
    """

    def __init__(
        self, model: Path | bytes, *, name: str, version: str, tile: int | None = None
    ) -> None:
        self.name = name
        self.version = version
        self._session = _session(model, name)
        self.sees, self.shape = _input(self._session, name)
        self.tile = tile or _tile(self._session)

    def score(self, x: NDArray[Any]) -> Scores:
        """Scores for features or trails of shape (n, *shape), n may be 0; raises `WrongShape` or
        `NotFinite`."""
        rows = self._checked(x)
        values = np.empty(len(rows), dtype=np.float64)
        for start in range(0, len(rows), self.tile):
            stop = start + self.tile
            (values[start:stop],) = self._session.run([OUTPUT], {self.sees: rows[start:stop]})
        return Scores(self.name, self.version, values)

    @property
    def row_bytes(self) -> int:
        """Size of what is seen of one event."""
        return int(np.prod(self.shape)) * np.dtype(_DTYPES[self.sees]).itemsize

    def rows(self, content: bytes, n: int) -> NDArray[Any]:
        """The array of `n` events that is behind these bytes; raises ValueError if none is."""
        return np.frombuffer(content, _DTYPES[self.sees]).reshape(n, *self.shape)

    def _checked(self, x: NDArray[Any]) -> NDArray[Any]:
        if self.sees == "trails":
            return checked_trails(x, self.shape)
        return checked(x, self.shape[0])


def _session(model: Path | bytes, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    content = model if isinstance(model, bytes) else model.read_bytes()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no public base class
        raise NotADetector(name, str(error).splitlines()[0]) from error


def _input(session: onnxruntime.InferenceSession, name: str) -> tuple[View, tuple[int, ...]]:
    """What a file sees, and its shape without the events."""
    inputs = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    outputs = [tensor.name for tensor in session.get_outputs()]
    found = [view for view in get_args(View) if list(inputs) == [view]]
    if not found or outputs != [OUTPUT]:
        raise NotADetector(name, f"inputs are {list(inputs)} and outputs {outputs}")
    sees: View = found[0]
    return sees, tuple(int(size) for size in inputs[sees][1:])


def _tile(session: onnxruntime.InferenceSession) -> int:
    return int(session.get_modelmeta().custom_metadata_map.get(TILE_KEY, DEFAULT_TILE))
