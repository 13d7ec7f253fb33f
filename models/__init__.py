"""Detectors: numbers in, one raw score per event out. No thresholds, no calibration, no Ray.

A detector is added with one file and one line in `DETECTORS`. The values are strings, so that a
process imports only the detector it fits: serving runs `models.onnx_scorer` and needs none of
these modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from models.base import UnknownDetector

if TYPE_CHECKING:
    from models.base import Detector

DETECTORS: dict[str, str] = {
    "isolation_forest": "models.isolation_forest:IsolationForest",
    "one_class_svm": "models.one_class_svm:OneClassSVM",
    "autoencoder": "models.autoencoder:Autoencoder",
    "sequence_model": "models.sequence_model:SequenceModel",
}


def resolve(name: str) -> type[Detector]:
    """The class behind a key of `DETECTORS`, imported on demand; raises `UnknownDetector`."""
    try:
        module, _, attribute = DETECTORS[name].partition(":")
    except KeyError:
        raise UnknownDetector(name, tuple(DETECTORS)) from None
    detector: type[Detector] = getattr(import_module(module), attribute)
    return detector
