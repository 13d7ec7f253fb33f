"""The HTTP door: routes, status codes, micro-batches. Scoring itself is services/pipeline.py."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from opentelemetry.context import Context

from services.auth import Guard
from services.coalescer import Abandoned, Coalescer, Overloaded
from services.documents import DOCS, OPENAPI
from services.http import (
    HTML,
    JSON,
    NDJSON,
    TEXT,
    Disconnected,
    HttpError,
    Receive,
    Response,
    Scope,
    Send,
    error_body,
    header,
    media_type,
    read_body,
    respond,
)
from services.metrics import GatewayMetrics
from services.pipeline import Pipeline, Scored, StageUnavailable
from services.telemetry import Tracing, trace_id
from services.wire import Framing, ItemError

LOG = logging.getLogger("ztad.gateway")

#: One event is a few hundred bytes; a megabyte is an attack or a mistake.
MOST_EVENT_BYTES = 1 << 20
MOST_BATCH_BYTES = 16 << 20
#: A readiness answer is good for this long, seconds.
READY_FOR_S = 1.0
#: Batches scored at once; further ones wait, up to MOST_WAITING_BATCHES.
BATCH_SLOTS = 2
MOST_WAITING_BATCHES = 64


@dataclass(frozen=True, slots=True)
class Single:
    """One event on its way into a micro-batch."""

    body: bytes
    trace_id: str
    context: Context | None


@dataclass(frozen=True, slots=True)
class Lookups:
    """What answers questions about past events and models; each is awaited."""

    event: Callable[[str], Awaitable[tuple[bytes, bytes] | None]]
    explain: Callable[[bytes], Awaitable[dict[str, Any]]]
    models: bytes
    kept: int
    """How many of the last events can be asked for."""


Handler = Callable[["GatewayApp", Scope, Receive, "Call"], Awaitable[Response]]


@dataclass(slots=True)
class Call:
    """One request: its trace and the name under which metrics count it."""

    trace_id: str
    context: Context | None
    route: str = "other"


class GatewayApp:
    """The ASGI application. ``start`` begins its background work on the running loop."""

    def __init__(
        self,
        pipeline: Pipeline,
        lookups: Lookups,
        *,
        guard: Guard,
        tracing: Tracing,
        metrics: GatewayMetrics,
        unavailable: tuple[type[Exception], ...] = (),
    ) -> None:
        self._pipeline = pipeline
        self._lookups = lookups
        self._guard = guard
        self._tracing = tracing
        self._metrics = metrics
        self._unavailable: tuple[type[Exception], ...] = (*unavailable, TimeoutError)
        self._coalescer: Coalescer[Single, bytes | ItemError] = Coalescer(self._score_singles)
        self._batches = asyncio.Semaphore(BATCH_SLOTS)
        self._waiting_batches = 0
        self._ready_until = 0.0
        self._lost = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin recording verdicts and flushing what may be learned, in the background."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._pipeline.run_recorder()),
            loop.create_task(self._flush_forever()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        context = self._tracing.current()
        call = Call(trace_id(header(scope, b"traceparent"), context), context)
        try:
            response = await self._answer(scope, receive, call)
        except Disconnected:
            self._metrics.requests.labels(call.route, "499").inc()
            return
        self._metrics.requests.labels(call.route, str(response.status)).inc()
        self._metrics.latency.labels(call.route).observe(time.perf_counter() - started)
        await respond(send, response, call.trace_id, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, receive: Receive, call: Call) -> Response:
        try:
            handler = _handler(scope, call)
            if handler not in _OPEN:
                self._guard.admit(scope)
            return await handler(self, scope, receive, call)
        except HttpError as error:
            if error.status in (429, 503):
                self._metrics.shed.labels(str(error.status)).inc()
            return error.response()
        except Overloaded as error:
            self._metrics.shed.labels("503").inc()
            retry = error.retry_after_s
            return HttpError(503, "load", str(error), retry_after_s=retry).response()
        except (StageUnavailable, Abandoned) as error:
            self._metrics.shed.labels("503").inc()
            return HttpError(503, "service", str(error), retry_after_s=1).response()
        except self._unavailable as error:
            self._metrics.shed.labels("503").inc()
            message = f"a part of the service is being replaced ({type(error).__name__})"
            return HttpError(503, "service", message, retry_after_s=1).response()
        except (Disconnected, asyncio.CancelledError):
            raise
        except Exception:
            LOG.exception("request %s failed", call.trace_id)
            message = f"our mistake; it is logged under trace {call.trace_id}"
            return Response(500, error_body("service", message))

    async def score(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """POST /v1/score"""
        if media_type(scope) != JSON:
            raise HttpError(415, "content-type", "expected application/json")
        body = await read_body(scope, receive, most_bytes=MOST_EVENT_BYTES)
        answer = await self._coalescer.submit(Single(body, call.trace_id, call.context))
        if isinstance(answer, ItemError):
            return Response(422, error_body(answer.field, answer.message))
        return Response(200, answer)

    async def score_batch(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """POST /v1/score/batch"""
        kind = media_type(scope)
        if kind not in (JSON, NDJSON):
            raise HttpError(415, "content-type", "expected application/json or x-ndjson")
        body = await read_body(scope, receive, most_bytes=MOST_BATCH_BYTES)
        if self._waiting_batches >= MOST_WAITING_BATCHES:
            raise HttpError(503, "load", "too many batches are waiting", retry_after_s=1)
        self._waiting_batches += 1
        try:
            async with self._batches:
                scored = await self._score_batch(body, kind, call)
        finally:
            self._waiting_batches -= 1
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

    async def event(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /v1/events/{id}"""
        verdict, _ = await self._kept(_event_id(scope))
        return Response(200, verdict)

    async def explanation(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /v1/events/{id}/explanation"""
        method = _query(scope).get("method", "shap")
        if method != "shap":
            raise HttpError(422, "method", f"expected shap, got {method[:32]!r}")
        verdict, values = await self._kept(_event_id(scope))
        explained = await self._lookups.explain(values)
        whole = {"verdict": msgspec.Raw(verdict), "explanation": explained}
        return Response(200, msgspec.json.encode(whole))

    async def models(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /v1/models"""
        return Response(200, self._lookups.models)

    async def healthz(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /healthz"""
        return Response(200, b'{"status":"alive"}')

    async def readyz(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /readyz: 200 only if a canned event gets a verdict from every stage."""
        if time.monotonic() >= self._ready_until:
            if not await self._pipeline.probe():
                raise HttpError(503, "detectors", "not every detector answers", retry_after_s=1)
            self._ready_until = time.monotonic() + READY_FOR_S
        return Response(200, b'{"status":"ready"}')

    async def metrics(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /metrics"""
        self._metrics.waiting.set(self._coalescer.waiting)
        self._metrics.lost.inc(self._pipeline.lost - self._lost)
        self._lost = self._pipeline.lost
        return Response(200, self._metrics.render(), TEXT)

    async def docs(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /docs"""
        return Response(200, DOCS, HTML)

    async def openapi(self, scope: Scope, receive: Receive, call: Call) -> Response:
        """GET /openapi.json"""
        return Response(200, OPENAPI)

    async def _score_singles(self, singles: Sequence[Single]) -> Sequence[bytes | ItemError]:
        contexts = [single.context for single in singles if single.context is not None]
        with self._tracing.batch(contexts, len(singles)):
            scored = await self._pipeline.score(
                [single.body for single in singles],
                "events",
                lambda items: [single.trace_id for single in singles],
            )
        self._count(scored)
        return scored.answers

    async def _score_batch(self, body: bytes, kind: bytes, call: Call) -> Scored:
        framing: Framing = "lines" if kind == NDJSON else "array"
        contexts = [] if call.context is None else [call.context]
        with self._tracing.batch(contexts, 0):
            scored = await self._pipeline.score(
                [body], framing, lambda items: [call.trace_id] * items
            )
        self._count(scored)
        return scored

    def _count(self, scored: Scored) -> None:
        """Metrics of one batch, not of one event: they would cost more than the event."""
        metrics, total = self._metrics, len(scored.answers)
        errors = sum(isinstance(answer, ItemError) for answer in scored.answers)
        metrics.batch.observe(total)
        metrics.events.labels("alert").inc(scored.alerts)
        metrics.events.labels("error").inc(errors)
        metrics.events.labels("duplicate").inc(scored.duplicates)
        metrics.events.labels("ordinary").inc(max(0, total - errors - scored.alerts))
        if scored.degraded:
            metrics.degraded.inc()
        for stage, seconds in scored.timings.items():
            metrics.stage.labels(stage).observe(seconds)

    async def _kept(self, event_id: str) -> tuple[bytes, bytes]:
        kept = self._pipeline.recent(event_id) or await self._lookups.event(event_id)
        if kept is None:
            message = f"not among the last {self._lookups.kept:,} events; older ones are not kept"
            raise HttpError(404, "event_id", message)
        return kept

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            try:
                await self._pipeline.flush()
            except Exception:  # learning pauses; scoring and the next attempt go on
                LOG.exception("the baseline could not be told what to learn")


_ROUTES: dict[str, tuple[str, Handler]] = {
    "/v1/score": ("POST", GatewayApp.score),
    "/v1/score/batch": ("POST", GatewayApp.score_batch),
    "/v1/models": ("GET", GatewayApp.models),
    "/healthz": ("GET", GatewayApp.healthz),
    "/readyz": ("GET", GatewayApp.readyz),
    "/metrics": ("GET", GatewayApp.metrics),
    "/docs": ("GET", GatewayApp.docs),
    "/openapi.json": ("GET", GatewayApp.openapi),
}
#: Routes without secrets, open to probes and browsers without a key.
_OPEN = frozenset({GatewayApp.healthz, GatewayApp.readyz, GatewayApp.docs, GatewayApp.openapi})
_EVENTS = "/v1/events/"
_EXPLANATION = "/explanation"


def _handler(scope: Scope, call: Call) -> Handler:
    """The handler of a request; raises 404 and 405."""
    path: str = scope["path"]
    found = _ROUTES.get(path)
    if found is None and path.startswith(_EVENTS) and len(path) > len(_EVENTS):
        explains = path.endswith(_EXPLANATION)
        call.route = _EVENTS + "{id}" + (_EXPLANATION if explains else "")
        found = ("GET", GatewayApp.explanation if explains else GatewayApp.event)
    elif found is not None:
        call.route = path
    if found is None:
        raise HttpError(404, "path", "no such route; see /docs")
    method, handler = found
    given = scope["method"]
    if given != method and not (given == "HEAD" and method == "GET"):
        allow = "GET, HEAD" if method == "GET" else method
        raise HttpError(405, "method", f"expected {method}", headers=((b"allow", allow.encode()),))
    return handler


def _event_id(scope: Scope) -> str:
    path: str = scope["path"]
    return path[len(_EVENTS) :].removesuffix(_EXPLANATION)


def _query(scope: Scope) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))


def _item_error(error: ItemError) -> bytes:
    told = {"field": error.field, "message": error.message}
    return msgspec.json.encode({"event_id": error.event_id, "error": told})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
