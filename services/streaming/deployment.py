"""``StreamWorker``: a deployment that works from its start, asked by nobody."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from ray import serve

from ensemble.scorer import load_bundle
from services import settings
from services.graph import UNREACHABLE, Graph, Handle
from services.pipeline import Pipeline
from services.routing import only
from services.streaming.args import StreamArgs
from services.streaming.counts import State
from services.streaming.metrics import Told, told
from services.streaming.opening import open_broker, open_decode
from services.streaming.scoring import Scoring
from services.streaming.worker import Worker
from services.telemetry import Tracing

LOG = logging.getLogger("ztad.stream")

#: Less than ``graceful_shutdown_timeout_s`` of the deployment, seconds.
END_WITHIN_S = 8.0


class StreamWorker:
    """One member of the consumer group per replica; more replicas than partitions are idle.

    A worker whose fuse has blown, or whose brokers are away, is healthy: starting it anew would
    not help. It says so in its state and metrics.
    """

    def __init__(
        self,
        args: dict[str, Any],
        preprocessor: Handle,
        detectors: dict[str, Handle],
        combiner: Handle,
        recorder: Handle,
    ) -> None:
        stream = StreamArgs.model_validate(args["stream"])
        environment = settings.load()
        tracing = Tracing(enabled=bool(args["tracing"]))
        graph = Graph(preprocessor, detectors, combiner, recorder).by_value()
        bundle = load_bundle(Path(args["bundle"]))
        pipeline = Pipeline(
            graph.stages(bundle),
            only(bundle.version, args["bundle"]),
            transient=UNREACHABLE,
            tracing=tracing,
            patient=True,
        )
        book = graph.book(pipeline, args["models_dir"])
        self._worker = Worker(
            open_broker(stream, environment),
            Scoring(pipeline, time.time, open_decode(stream, environment)),
            stream,
            name=serve.get_replica_context().replica_id.unique_id,
            tracing=tracing,
        )
        pipeline.shadow.told = self._worker.counts.judged
        self._working = asyncio.ensure_future(self._worker.run())
        self._beside = [
            asyncio.ensure_future(work()) for work in (*pipeline.background, book.follow)
        ]

    async def check_health(self) -> None:
        """Raises when the loop has ended, which it never should; Serve then starts it anew."""
        for task in (self._working, *self._beside):
            if task.done():
                LOG.error("the worker has ended", exc_info=task.exception())
                raise RuntimeError("the stream worker has ended; its log says why")

    async def state(self) -> State:
        """How it is."""
        return self._worker.state()

    async def metrics(self) -> Told:
        """What it counts."""
        return told(self._worker.counts, self._worker.state())

    async def close_fuse(self) -> State:
        """Go on after the fuse has blown."""
        self._worker.close_fuse()
        return self._worker.state()

    async def __del__(self) -> None:
        """Settle and commit what is under way, and give the partitions back."""
        worker = getattr(self, "_worker", None)
        if worker is None:
            return
        worker.stop()
        await asyncio.wait([self._working], timeout=END_WITHIN_S)
