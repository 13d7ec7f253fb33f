"""Fits the peers' models: ``python -m peers.training``.

Reads ``events.npy`` (n, width), what ztad's detectors see of its training events, and
``parameters.json``, the parameters of its detectors; both written by ``ztad bench --peers``. ztad's
own scaling and noise are left out, so the peers' models do a little less per event.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from peers.models import FOLDER, Rows, errors


def main(folder: Path = FOLDER) -> int:
    """Fit on the events and write the models beside them."""
    from sklearn.ensemble import IsolationForest
    from sklearn.svm import OneClassSVM

    x: Rows = np.load(folder / "events.npy")
    parameters: dict[str, Any] = json.loads((folder / "parameters.json").read_text())
    asked = parameters["isolation_forest"]
    forest = IsolationForest(
        n_estimators=asked["n_trees"], max_samples=asked["sample_size"], random_state=0
    ).fit(x)
    asked = parameters["one_class_svm"]
    drawn = np.random.default_rng(0).permutation(len(x))[: asked["max_rows"]]
    svm = OneClassSVM(nu=asked["nu"], gamma=asked["width"] / x.shape[1]).fit(x[drawn])
    autoencoder = _autoencoder(x, parameters["autoencoder"])
    joblib.dump(forest, folder / "forest.joblib")
    joblib.dump(svm, folder / "svm.joblib")
    autoencoder.save(folder / "autoencoder.keras")
    rebuilt = autoencoder.predict(x, batch_size=4096, verbose=0)
    scores = np.stack([-forest.score_samples(x), -svm.decision_function(x), errors(x, rebuilt)])
    spread = np.maximum(scores.std(axis=1), 1e-9)
    np.savez(folder / "scale.npz", mean=scores.mean(axis=1), spread=spread, width=x.shape[1])
    print(len(svm.support_))
    return 0


def _autoencoder(x: Rows, asked: dict[str, Any]) -> Any:
    import keras
    from keras import layers

    network = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            layers.Dense(asked["hidden"], activation="relu"),
            layers.Dense(asked["code"], activation="relu"),
            layers.Dense(asked["hidden"], activation="relu"),
            layers.Dense(x.shape[1]),
        ]
    )
    network.compile(optimizer=keras.optimizers.Adam(asked["learning_rate"]), loss="mse")
    network.fit(x, x, batch_size=256, epochs=5, verbose=0)
    return network


if __name__ == "__main__":
    sys.exit(main())
