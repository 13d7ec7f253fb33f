"""Keras on TensorFlow, for the detectors that are networks."""

from __future__ import annotations

import os
from typing import Any


def keras_on_tensorflow() -> Any:
    """Keras on TensorFlow, imported only where a network is trained."""
    # TensorFlow announces its build on standard error at import unless told otherwise.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return keras
