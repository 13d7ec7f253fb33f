"""Traces and metrics: their names, and the little that sets them up.

Ray Serve opens a span for every call between deployments once it is told where a provider comes
from (``RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH``); :func:`span_processors` is that place. It
installs our own provider first, because Serve's samples every hop anew and leaves orphans behind.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from alerting.observing import Note
from services import logs
from services.redaction import Redaction

SpanName = Literal[
    "ztad.stream.batch",  # messages from a topic until verdicts are durable; links their traces
    "ztad.score",  # one payload from the queue to its verdicts; links every event's trace
    "ztad.preprocess",  # the call of the Preprocessor
    "ztad.detect",  # all detectors, side by side
    "ztad.combine",  # the call of the Combiner
    "ztad.event",  # one event's share of a micro-batch, in the event's own trace
    "ztad.record",  # the Recorder takes its verdict, in the event's own trace
    "ztad.alert.group",  # suspicious events become alerts, or join one
    "ztad.alert.dispatch",  # one alert from its news to the messages it gives rise to
    "ztad.alert.notify",  # one attempt to send one message
]

#: Where Serve looks for our provider.
EXPORTER_IMPORT_PATH = "services.telemetry:span_processors"
#: Share of requests traced unless the caller decided or OTEL_TRACES_SAMPLER_ARG says otherwise.
DEFAULT_RATIO = 0.01
#: Serve's spans at the door; only these may begin a trace.
_ENTRY = ("replica_handle_request Gateway", "proxy_http_request")
#: Most links on one micro-batch; a span is not a database.
MOST_LINKS = 64
#: Batches whose stages are traced, a second and process, and how many at once after a quiet time.
#: With a hundredth of the requests traced and fifty in a micro-batch every second batch would be,
#: for a tenth of what the graph does; a few a second show as much.
WHOLE_PER_S = 4.0
MOST_WHOLE = 10.0
#: Of an error's text more would be a log.
MOST_CHARACTERS = 300
_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class EntrySampler(Sampler):
    """Samples a share of the spans at the door, and no other span without a parent.

    Without it every unsampled hop would roll the dice again and start an orphan.
    """

    def __init__(self, ratio: float) -> None:
        self._at_the_door = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        if not name.startswith(_ENTRY):
            return SamplingResult(Decision.DROP)
        return self._at_the_door.should_sample(parent_context, trace_id, name, kind, attributes)

    def get_description(self) -> str:
        return "ZtadEntrySampler"


def wanted(environment: dict[str, str] | None = None) -> bool:
    """Whether the standard variables ask for traces to be exported."""
    env = os.environ if environment is None else environment
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if env.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return bool(
        env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    )


def span_processors() -> list[SpanProcessor]:
    """Install our provider in this replica and return the processors Serve is to add to it.

    And our log lines: where nobody but Serve starts the replicas, nothing of ours runs earlier.
    """
    logs.in_replica()
    ratio = float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", DEFAULT_RATIO))
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "ztad")})
    sampler = ParentBased(root=EntrySampler(ratio))
    trace.set_tracer_provider(TracerProvider(resource=resource, sampler=sampler))
    if not wanted():
        return []
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return [BatchSpanProcessor(OTLPSpanExporter())]


class Tracing:
    """Opens spans around stage calls. ``enabled=False`` costs one comparison a call.

    ``clock`` counts seconds; by it at most ``WHOLE_PER_S`` batches are traced stage by stage.
    """

    def __init__(self, *, enabled: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.enabled = enabled
        self._tracer = trace.get_tracer("ztad")
        self._clock = clock
        self._allowed = MOST_WHOLE
        self._asked_at = clock()

    def current(self) -> Context | None:
        """The context of the request being served if its trace is recorded, else None."""
        if not self.enabled:
            return None
        context = otel_context.get_current()
        return context if trace.get_current_span(context).is_recording() else None

    @contextmanager
    def span(self, name: SpanName, **attributes: str | int) -> Iterator[None]:
        """A child of the current span; nothing when the current trace is not recorded."""
        if self.current() is None:
            yield
            return
        with self._opened(name) as span:
            span.set_attributes(_prefixed(attributes))
            yield

    @contextmanager
    def following(self, name: SpanName, traceparent: str) -> Iterator[Note]:
        """A child of a span of another time and process; nothing if that was not recorded.

        Gives a function that notes attributes on it.
        """
        context = self.context_of(traceparent)
        if context is None:
            yield _nowhere
            return
        with self._opened(name, context) as span:
            yield lambda **attributes: span.set_attributes(_prefixed(attributes))

    @contextmanager
    def recording(self, traceparents: Iterable[str], events: int) -> Iterator[None]:
        """A ``ztad.record`` in each of these traces (at most ``MOST_LINKS``), side by side."""
        if not self.enabled:
            yield
            return
        contexts = map(self.context_of, dict.fromkeys(traceparents))
        attributes = {"ztad.events": events}
        spans = [
            self._tracer.start_span("ztad.record", context=context, attributes=attributes)
            for context in islice(filter(None, contexts), MOST_LINKS)
        ]
        try:
            yield
        except Exception as error:
            for span in spans:
                _failed(span, error)
            raise
        finally:
            for span in spans:
                span.end()

    def context_of(self, traceparent: str) -> Context | None:
        """The context that a ``traceparent`` names, if that trace is recorded."""
        if not self.enabled or not traceparent:
            return None
        context = _PROPAGATOR.extract({"traceparent": traceparent}, Context())
        return context if _span_context(context).trace_flags.sampled else None

    @contextmanager
    def _opened(
        self, name: SpanName, context: Context | None = None, links: Sequence[Link] = ()
    ) -> Iterator[trace.Span]:
        """A span that is current; an exception is told on it without a stack trace, which may
        quote what it came from."""
        with self._tracer.start_as_current_span(
            name, context, links=links, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                _failed(span, error)
                raise

    @contextmanager
    def batch(
        self, contexts: Sequence[Context], events: int, name: SpanName = "ztad.score"
    ) -> Iterator[None]:
        """One span for a batch, in the first recorded event's trace, linked to the others;
        each of the others gets a span of its own that links back.

        Of batches beyond ``WHOLE_PER_S`` events have spans of their own, and stages have none."""
        if not contexts:
            yield
            return
        if not self._may_be_whole():
            with self._shares(contexts):
                yield
            return
        links = [Link(_span_context(context)) for context in contexts[1:MOST_LINKS]]
        token = otel_context.attach(contexts[0])
        try:
            with self._opened(name, links=links) as span:
                span.set_attribute("ztad.events", events)
                others = [self._event_span(context, span) for context in contexts[1:]]
                try:
                    yield
                finally:
                    for other in others:
                        other.end()
        finally:
            otel_context.detach(token)

    def _may_be_whole(self) -> bool:
        now = self._clock()
        earned = (now - self._asked_at) * WHOLE_PER_S
        self._allowed, self._asked_at = min(MOST_WHOLE, self._allowed + earned), now
        if self._allowed < 1.0:
            return False
        self._allowed -= 1.0
        return True

    @contextmanager
    def _shares(self, contexts: Sequence[Context]) -> Iterator[None]:
        """Each event's share of a batch; no span is current, so nothing in it is recorded."""
        spans = [self._tracer.start_span("ztad.event", context=each) for each in contexts]
        token = otel_context.attach(Context())
        try:
            yield
        finally:
            otel_context.detach(token)
            for span in spans:
                span.end()

    def _event_span(self, context: Context, batch: trace.Span) -> trace.Span:
        links = [Link(batch.get_span_context())]
        return self._tracer.start_span("ztad.event", context=context, links=links)


NO_TRACING = Tracing(enabled=False)


def trace_id(traceparent: bytes | None, context: Context | None) -> str:
    """The id under which a request can be found: its own trace, the caller's, or a fresh one."""
    if context is not None:
        return f"{_span_context(context).trace_id:032x}"
    if traceparent is not None:
        given = _TRACEPARENT.fullmatch(traceparent)
        if given is not None and given.group(1) != b"0" * 32:
            return given.group(1).decode()
    return f"{random.getrandbits(128):032x}"


def traceparent(context: Context) -> str:
    """How a recorded context travels to another process: W3C ``traceparent``, sampled."""
    span = _span_context(context)
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-01"


def noted(event: str, **attributes: str | int) -> None:
    """Tell on the current span, if its trace is recorded, of something that went otherwise."""
    trace.get_current_span().add_event(event, _prefixed(attributes))


def _failed(span: trace.Span, error: Exception) -> None:
    said = Redaction(os.environ)(" ".join(str(error).split()))[:MOST_CHARACTERS]
    span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {said}")
    span.add_event("exception", {"exception.type": type(error).__name__,
                                 "exception.message": said})  # fmt: skip


def _prefixed(attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    return {f"ztad.{key}": value for key, value in attributes.items()}


def _nowhere(**attributes: str | int) -> None:
    """Nobody records it."""


def _span_context(context: Context) -> trace.SpanContext:
    return trace.get_current_span(context).get_span_context()
