"""The HTTP door: admission, errors, metrics. The routes are in services/routes/, one file each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from models.manifest import BundleError
from services.auth import Guard
from services.book import RoutingBook
from services.coalescer import Abandoned, Overloaded
from services.http import (
    Disconnected,
    HttpError,
    Receive,
    Response,
    Scope,
    Send,
    Stream,
    error_body,
    header,
    respond,
    stream,
)
from services.metrics import SHED_STATUSES, GatewayMetrics
from services.pipeline import Pipeline, StageUnavailable
from services.recording import NotKept
from services.routes.base import Request, Route, Router
from services.routes.consumers import Workers
from services.routes.events import Events, Lookups
from services.routes.models import Models
from services.routes.pages import Pages
from services.routes.scoring import Scoring
from services.storage.errors import StoreError
from services.telemetry import Tracing, trace_id
from services.variants import Variants

LOG = logging.getLogger("ztad.gateway")

#: Time to hand over what only this replica knows before it ends, seconds.
FINISH_S = 2.0
#: A store or a version in trouble is not mended by asking again at once.
TROUBLE_RETRY_S = 5


class GatewayApp:
    """The ASGI application. ``start`` begins its background work on the running loop.

    ``routes`` are served beside its own.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        book: RoutingBook,
        lookups: Lookups,
        *,
        guard: Guard,
        tracing: Tracing,
        metrics: GatewayMetrics,
        routes: Sequence[Route] = (),
        unavailable: tuple[type[Exception], ...] = (),
    ) -> None:
        variants = Variants(metrics)
        pipeline.shadow.told = variants.judged
        self._models = Models(book, pipeline, variants)
        scoring = Scoring(pipeline, tracing, metrics, variants)
        self._router = Router(
            [
                *scoring.routes(),
                *Pages(pipeline).routes(),
                *Events(pipeline, lookups, book.fetched).routes(),
                *self._models.routes(),
                *routes,
            ]
        )
        self._pipeline = pipeline
        self._guard = guard
        self._tracing = tracing
        self._metrics = metrics
        self._unavailable: tuple[type[Exception], ...] = (*unavailable, TimeoutError)
        self._background: list[Callable[[], Awaitable[None]]] = [
            *pipeline.background,
            book.follow,
            guard.watch,
        ]
        self._endings: list[Callable[[], Awaitable[None]]] = [pipeline.finish]
        self._tasks: list[asyncio.Future[None]] = []

    @property
    def routes(self) -> tuple[Route, ...]:
        """Everything that is served."""
        return self._router.routes

    def accompany(
        self,
        work: Callable[[], Awaitable[None]],
        ending: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Have something else run in the background, and waited for until its ``ending`` returns;
        call it before ``start``."""
        self._background.append(work)
        if ending is not None:
            self._endings.append(ending)

    def count_streamed(self, workers: Workers) -> None:
        """Have ``GET /v1/models`` tell what stream workers judged as well."""
        self._models.workers = workers

    def start(self) -> None:
        """Begin recording verdicts and flushing what may be learned, in the background."""
        self._tasks = [asyncio.ensure_future(work()) for work in self._background]

    async def finish(self) -> None:
        """Hand over what only this replica knows: verdicts to record, what may be learned, and
        whatever accompanies it."""
        try:
            async with asyncio.timeout(FINISH_S):
                await asyncio.gather(*(ending() for ending in self._endings))
        except TimeoutError:
            LOG.warning("%d verdicts are not on record", self._pipeline.unrecorded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        context = self._tracing.current()
        request = Request(scope, receive, trace_id(header(scope, b"traceparent"), context), context)
        name = "other"
        try:
            self._guard.meet(request)
            route, request.params = self._router.find(scope["method"], scope["path"])
            name = route.path
            self._guard.admit(request, route)
            response = await self._answer(route, request)
            if route.access == "admin":
                self._guard.acted(request, route, response.status)
        except HttpError as error:
            response = self._refusal(error)
        except Disconnected:
            self._metrics.requests.labels(name, "499").inc()
            return
        self._metrics.requests.labels(name, str(response.status)).inc()
        self._metrics.latency.labels(name).observe(time.perf_counter() - started)
        if isinstance(response, Stream):
            head = scope["method"] == "HEAD"
            await stream(receive, send, response, request.trace_id, head=head)
        else:
            await respond(send, response, request.trace_id, head=scope["method"] == "HEAD")

    async def _answer(self, route: Route, request: Request) -> Response | Stream:
        try:
            return await route.handle(request)
        except HttpError as error:
            return self._refusal(error)
        except Overloaded as error:
            return self._shed("load", str(error), error.retry_after_s)
        except (StageUnavailable, Abandoned) as error:
            return self._shed("service", str(error))
        except NotKept as error:
            return self._shed("store", str(error), error.retry_after_s)
        except StoreError:
            message = "the store of verdicts and alerts is in trouble; the Recorder's log says why"
            return self._shed("store", message, TROUBLE_RETRY_S)
        except BundleError as error:  # its folder went away, and a replica was started anew
            LOG.error("a version in use cannot be loaded: %s", error)
            message = "a model version in use cannot be loaded; the log says why, PUT /v1/routing"
            return self._shed("model", f"{message} goes on without it", TROUBLE_RETRY_S)
        except self._unavailable as error:
            message = f"a part of the service is being replaced ({type(error).__name__})"
            return self._shed("service", message)
        except (Disconnected, asyncio.CancelledError):
            raise
        except Exception:
            LOG.exception("request failed", extra={"trace_id": request.trace_id})
            message = f"our mistake; it is logged under trace {request.trace_id}"
            return Response(500, error_body("service", message))

    def _refusal(self, error: HttpError) -> Response:
        if error.status in SHED_STATUSES:
            self._metrics.shed.labels(str(error.status)).inc()
        return error.response()

    def _shed(self, field: str, message: str, retry_after_s: int = 1) -> Response:
        self._metrics.shed.labels("503").inc()
        return HttpError(503, field, message, retry_after_s=retry_after_s).response()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        ending = False
        while not ending:
            message = await receive()
            ending = message["type"] == "lifespan.shutdown"
            if ending:
                await self.finish()
            await send({"type": f"{message['type']}.complete"})
