"""The limit of the models: ztad's ONNX detectors on ready features, in this process, one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.scorer import load_bundle
from models.onnx_scorer import OnnxScorer
from services.bench.outcome import OK, Outcome, latency


def run_alone(
    bundle: Path, detectors: Sequence[str], features: NDArray[np.float32], batch: int,
    seconds: float,
) -> Outcome:  # fmt: skip
    """Score ``features`` (n, d) over and over, ``batch`` at a time; a call counts as a request."""
    loaded = load_bundle(bundle)
    scorers = [loaded.scorer(name) for name in detectors]
    batches = [features[at : at + batch] for at in range(0, len(features) - batch + 1, batch)]
    _score(scorers, batches[0])  # the first call takes memory
    started = last = time.monotonic()
    taken: list[float] = []
    while last < started + seconds:
        _score(scorers, batches[len(taken) % len(batches)])
        now = time.monotonic()
        taken.append(now - last)
        last = now
    return Outcome(
        seconds=last - started,
        requests=len(taken),
        events=len(taken) * batch,
        statuses={OK: len(taken)},
        latency_ms=latency(taken),
        elapsed_s=last - started,
    )


def _score(scorers: Sequence[OnnxScorer], features: NDArray[np.float32]) -> None:
    for scorer in scorers:
        scorer.score(features)
