"""The models alone: every call counts, with as many events as it scored."""

import numpy as np

from models.bundle import Bundle
from preprocessing.features import NAMES
from services.bench.alone import run_alone
from services.bench.peers import DETECTORS


def test_events_are_calls_times_their_size(bundle: Bundle) -> None:
    features = np.random.default_rng(1).exponential(size=(25, len(NAMES))).astype(np.float32)
    found = run_alone(bundle.path, DETECTORS, features, 10, seconds=0.01)
    assert found.requests >= 1
    assert found.events == 10 * found.requests
    assert (found.errors, found.statuses) == (0, {"200": found.requests})
    assert 0 < found.latency_ms.p50 <= found.latency_ms.max
    assert found.seconds >= 0.01
