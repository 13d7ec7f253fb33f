"""The fitted models, and how their scores become one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[1] / "build" / "peers" / "models"
#: Standard deviations above the mean of training from which an event counts as anomalous.
THRESHOLD = 3.0

Rows = NDArray[np.float32]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and spread of each model's score in training, in the order of :class:`Models`."""

    mean: Scores
    spread: Scores

    def combine(self, *scores: Any) -> Scores:
        """One score per event: the mean of standardised ones."""
        stacked = np.stack([np.asarray(each, dtype=np.float64) for each in scores])
        combined: Scores = ((stacked - self.mean[:, None]) / self.spread[:, None]).mean(axis=0)
        return combined


@dataclass(frozen=True, slots=True)
class Models:
    """scikit-learn and Keras models as their libraries save them."""

    forest: Any
    svm: Any
    autoencoder: Any
    scale: Scale
    width: int


def load(folder: Path = FOLDER) -> Models:
    """What ``peers.training`` wrote."""
    return Models(forest(folder), svm(folder), autoencoder(folder), *scale(folder))


def forest(folder: Path = FOLDER) -> Any:
    return joblib.load(folder / "forest.joblib")


def svm(folder: Path = FOLDER) -> Any:
    return joblib.load(folder / "svm.joblib")


def autoencoder(folder: Path = FOLDER) -> Any:
    import keras

    return keras.saving.load_model(folder / "autoencoder.keras")


def scale(folder: Path = FOLDER) -> tuple[Scale, int]:
    """How scores are combined, and how many features the models take."""
    kept = np.load(folder / "scale.npz")
    return Scale(kept["mean"], kept["spread"]), int(kept["width"])


def errors(near: Rows, rebuilt: Any) -> Scores:
    """The autoencoder's score: mean squared error of each row."""
    squared: Scores = ((near - np.asarray(rebuilt)) ** 2).mean(axis=1, dtype=np.float64)
    return squared


def answer(event_id: str, score: float) -> dict[str, Any]:
    """What every peer says of an event."""
    return {"event_id": event_id, "score": float(score), "is_anomaly": bool(score > THRESHOLD)}
