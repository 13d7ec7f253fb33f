"""``/v1/score`` and ``/v1/score/batch``: events in, verdicts out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from opentelemetry.context import Context

from services.coalescer import Coalescer
from services.http import JSON, NDJSON, HttpError, Response, error_body
from services.metrics import GatewayMetrics
from services.pipeline import Pipeline, Scored
from services.routes.base import Request, Route
from services.telemetry import Tracing, traceparent
from services.variants import Variants
from services.wire import Framing, ItemError

#: One event is a few hundred bytes; a megabyte is an attack or a mistake.
MOST_EVENT_BYTES = 1 << 20
MOST_BATCH_BYTES = 16 << 20
#: Batches scored at once; further ones wait, up to MOST_WAITING_BATCHES.
BATCH_SLOTS = 3
MOST_WAITING_BATCHES = 64


@dataclass(frozen=True, slots=True)
class Single:
    """One event on its way into a micro-batch."""

    body: bytes
    trace_id: str
    context: Context | None


class Scoring:
    """Gathers single events into micro-batches, bounds concurrent batches, counts what came out."""

    def __init__(
        self, pipeline: Pipeline, tracing: Tracing, metrics: GatewayMetrics, variants: Variants
    ) -> None:
        self._pipeline = pipeline
        self._variants = variants
        self._tracing = tracing
        self._metrics = metrics
        self._coalescer: Coalescer[Single, tuple[bytes | ItemError, Scored]] = Coalescer(
            self._score_singles
        )
        self._batches = asyncio.Semaphore(BATCH_SLOTS)
        self._waiting_batches = 0
        metrics.waiting.set_function(lambda: self._coalescer.waiting)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/score", self.score, "score"),
            Route("POST", "/v1/score/batch", self.score_batch, "score"),
        ]

    async def score(self, request: Request) -> Response:
        """POST /v1/score"""
        if request.media_type() != JSON:
            raise HttpError(415, "content-type", "expected application/json")
        body = await request.body(most_bytes=MOST_EVENT_BYTES)
        single = Single(body, request.trace_id, request.context)
        answer, scored = await self._coalescer.submit(single)
        await scored.confirmed()
        if isinstance(answer, ItemError):
            return Response(422, error_body(answer.field, answer.message))
        return Response(200, answer)

    async def score_batch(self, request: Request) -> Response:
        """POST /v1/score/batch"""
        kind = request.media_type()
        if kind not in (JSON, NDJSON):
            raise HttpError(415, "content-type", "expected application/json or x-ndjson")
        body = await request.body(most_bytes=MOST_BATCH_BYTES)
        if self._waiting_batches >= MOST_WAITING_BATCHES:
            raise HttpError(503, "load", "too many batches are waiting", retry_after_s=1)
        self._waiting_batches += 1
        try:
            async with self._batches:
                scored = await self._score_batch(body, kind, request)
        finally:
            self._waiting_batches -= 1
        await scored.confirmed()
        if scored.refused is not None:
            refused = scored.refused
            if refused.field == "too_large":
                raise HttpError(413, "body", refused.message)
            raise HttpError(422, refused.field, refused.message)
        answers = [
            answer if isinstance(answer, bytes) else _item_error(answer)
            for answer in scored.answers
        ]
        if kind == NDJSON:
            return Response(200, b"\n".join((*answers, b"")), NDJSON)
        return Response(200, b"[" + b",".join(answers) + b"]")

    async def _score_singles(
        self, singles: Sequence[Single]
    ) -> Sequence[tuple[bytes | ItemError, Scored]]:
        """Answers that are not confirmed yet: others need not wait meanwhile to be judged."""
        started = time.perf_counter()
        contexts = {
            index: single.context
            for index, single in enumerate(singles)
            if single.context is not None
        }
        with self._tracing.batch(list(contexts.values()), len(singles)):
            prepared = await self._pipeline.prepare([single.body for single in singles], "events")
            scored = await self._pipeline.judge(
                prepared,
                lambda items: [single.trace_id for single in singles],
                lambda items: {index: traceparent(each) for index, each in contexts.items()},
            )
        self._count(scored, time.perf_counter() - started)
        return [(answer, scored) for answer in scored.answers]

    async def _score_batch(self, body: bytes, kind: bytes, request: Request) -> Scored:
        framing: Framing = "lines" if kind == NDJSON else "array"
        started = time.perf_counter()
        context = request.context
        with self._tracing.batch([] if context is None else [context], 0):
            scored = await self._pipeline.judge(
                await self._pipeline.prepare([body], framing),
                lambda items: [request.trace_id] * items,
                lambda items: (
                    {} if context is None else dict.fromkeys(range(items), traceparent(context))
                ),
            )
        self._count(scored, time.perf_counter() - started)
        return scored

    def _count(self, scored: Scored, took_s: float) -> None:
        """Metrics of one batch, not of one event: they would cost more than the event."""
        metrics, total = self._metrics, len(scored.answers)
        errors = sum(isinstance(answer, ItemError) for answer in scored.answers)
        metrics.batch.observe(total)
        metrics.events.labels("alert").inc(scored.alerts)
        metrics.events.labels("error").inc(errors)
        metrics.events.labels("duplicate").inc(scored.duplicates)
        metrics.events.labels("ordinary").inc(scored.ordinary)
        if scored.degraded:
            metrics.degraded.inc()
        if scored.alone:
            metrics.alone.inc()
        self._variants.count(scored, took_s)


def _item_error(error: ItemError) -> bytes:
    told = {"field": error.field, "message": error.message}
    return msgspec.json.encode({"event_id": error.event_id, "error": told})
