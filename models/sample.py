"""The training rows a fitted detector keeps to check its ONNX form against."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_ROWS = 2000

T = TypeVar("T", bound=np.generic)


def training_sample(x: NDArray[T], seed: int) -> NDArray[T]:
    """Up to 2,000 rows of `x` (n, ...), drawn without replacement."""
    if len(x) <= _ROWS:
        return x.copy()
    chosen = np.random.default_rng(seed).choice(len(x), _ROWS, replace=False)
    return x[np.sort(chosen)]
