"""All models on all events of a call, as somebody who has profiled them would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peers import models
from peers.features import row


class Judge:
    """No frame, and the network as one traced TensorFlow function on one thread."""

    def __init__(self) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._models = loaded = models.load()
        self._rebuild = tf.function(
            lambda x: loaded.autoencoder(x, training=False),
            input_signature=[tf.TensorSpec((None, loaded.width), tf.float32)],
        )

    def __call__(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer per event, in order."""
        loaded = self._models
        x = np.array([row(event, loaded.width) for event in events], dtype=np.float32)
        forest = -loaded.forest.score_samples(x)
        svm = -loaded.svm.decision_function(x)
        combined = loaded.scale.combine(forest, svm, models.errors(x, self._rebuild(x)))
        return [
            models.answer(event["event_id"], each)
            for event, each in zip(events, combined, strict=True)
        ]
