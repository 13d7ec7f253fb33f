"""A Ray Serve graph as a first version is written: ``python -m peers.graph --port N``.

One deployment per stage, one call per stage and request, FastAPI in front, every setting as Ray
Serve has it. It runs with ztad's own packages, since Ray's and BentoML's exclude each other.
Annotations are evaluated: FastAPI cannot look up names of a class that was shipped to a replica.
"""

import argparse
import json
import signal
import sys
import threading
from typing import Any

import numpy as np
import ray
from fastapi import FastAPI, Request
from ray import serve

from peers import models
from peers.features import row

#: A replica asks for a whole core each, by default; there are to be enough for all of them.
LOGICAL_CORES = 8

api = FastAPI()


class Features:
    def __init__(self) -> None:
        _, self._width = models.scale()

    def __call__(self, events: list[dict[str, Any]]) -> models.Rows:
        return np.array([row(event, self._width) for event in events], dtype=np.float32)


class Forest:
    def __init__(self) -> None:
        self._model = models.forest()

    def __call__(self, x: models.Rows) -> models.Scores:
        scores: models.Scores = -self._model.score_samples(x)
        return scores


class Svm:
    def __init__(self) -> None:
        self._model = models.svm()

    def __call__(self, x: models.Rows) -> models.Scores:
        scores: models.Scores = -self._model.decision_function(x)
        return scores


class Autoencoder:
    def __init__(self) -> None:
        self._model = models.autoencoder()

    def __call__(self, x: models.Rows) -> models.Scores:
        return models.errors(x, self._model.predict(x, verbose=0))


class Combiner:
    def __init__(self) -> None:
        self._scale, _ = models.scale()

    def __call__(self, ids: list[str], *scores: models.Scores) -> list[dict[str, Any]]:
        combined = self._scale.combine(*scores)
        return [models.answer(*each) for each in zip(ids, combined, strict=True)]


class Ingress:
    """Takes events, asks one stage after the other, the models at the same time."""

    def __init__(self, features: Any, detectors: list[Any], combiner: Any) -> None:
        self._features, self._detectors, self._combiner = features, detectors, combiner

    @api.get("/readyz")
    async def readyz(self) -> dict[str, str]:
        return {"status": "ready"}

    @api.post("/v1/score")
    async def score(self, event: dict[str, Any]) -> dict[str, Any]:
        return (await self._judge([event]))[0]

    @api.post("/v1/score/batch")
    async def score_batch(self, request: Request) -> list[dict[str, Any]]:
        return await self._judge([json.loads(line) for line in (await request.body()).splitlines()])

    async def _judge(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        x = await self._features.remote(events)
        scores = [detector.remote(x) for detector in self._detectors]
        ids = [event["event_id"] for event in events]
        judged: list[dict[str, Any]] = await self._combiner.remote(ids, *scores)
        return judged


def application() -> Any:
    """The graph, each stage a deployment."""

    def bound(stage: type[Any], *arguments: Any) -> Any:
        deployment: Any = serve.deployment(stage)
        return deployment.bind(*arguments)

    detectors = [bound(each) for each in (Forest, Svm, Autoencoder)]
    front: Any = serve.ingress(api)(Ingress)
    return bound(front, bound(Features), detectors, bound(Combiner))


def main() -> int:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="a Ray Serve graph, for comparison")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    ended = threading.Event()
    ray.init(address="local", num_cpus=LOGICAL_CORES)
    serve.start(http_options={"host": "127.0.0.1", "port": args.port})
    serve.run(application())
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, frame: ended.set())
    ended.wait()
    serve.shutdown()  # type: ignore[no-untyped-call]
    return 0


if __name__ == "__main__":
    sys.exit(main())
