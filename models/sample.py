"""The training rows a fitted detector keeps to check its ONNX form against."""

from __future__ import annotations

import numpy as np

from models.base import Features

_ROWS = 2000


def training_sample(x: Features, seed: int) -> Features:
    """Up to 2,000 rows of `x` (n, d), drawn without replacement."""
    if len(x) <= _ROWS:
        return x.copy()
    chosen = np.random.default_rng(seed).choice(len(x), _ROWS, replace=False)
    return x[np.sort(chosen)]
