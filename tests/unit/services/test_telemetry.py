"""Sampling begins at the door or not at all; a micro-batch and its events find each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from services.telemetry import (
    MOST_LINKS,
    MOST_WHOLE,
    NO_TRACING,
    WHOLE_PER_S,
    EntrySampler,
    Tracing,
    trace_id,
    wanted,
)

DOOR = "replica_handle_request Gateway __call__"
HOPS = ("route_to_replica Preprocessor prepare", "replica_handle_request Preprocessor prepare")


def own(span: ReadableSpan) -> SpanContext:
    """The ids of a finished span."""
    context = span.get_span_context()
    assert context is not None
    return context


class Graph:
    """Requests through a door and two hops, traced as Serve does it: an unsampled span is never
    made current, so the next hop has no parent to follow."""

    def __init__(self, ratio: float) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(root=EntrySampler(ratio)))
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")

    def request(self, parent: Context | None = None) -> None:
        context = parent
        for name in (DOOR, *HOPS):
            span = self.tracer.start_span(name, context=context)
            if span.get_span_context().trace_flags.sampled:
                context = set_span_in_context(span)
            span.end()

    def traces(self) -> dict[int, list[ReadableSpan]]:
        traces: dict[int, list[ReadableSpan]] = {}
        for span in self.exporter.get_finished_spans():
            traces.setdefault(own(span).trace_id, []).append(span)
        return traces


def caller(*, sampled: bool, number: int = 7) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(number, 9, True, flags)))


def test_a_share_of_the_requests_and_every_trace_whole() -> None:
    graph = Graph(0.2)
    for _ in range(1000):
        graph.request()
    traces = graph.traces()
    assert 140 < len(traces) < 260
    for spans in traces.values():
        assert [span.name for span in spans] == [DOOR, *HOPS]
        assert [span.parent is None for span in spans] == [True, False, False]


def test_a_caller_that_does_not_record() -> None:
    graph = Graph(1.0)
    graph.request(caller(sampled=False))
    # What follows an unsampled span has no parent, and must not begin a trace of its own.
    assert graph.traces() == {}


def test_a_caller_that_records() -> None:
    graph = Graph(0.0)
    for number in range(1, 101):
        graph.request(caller(sampled=True, number=number))
    traces = graph.traces()
    assert set(traces) == set(range(1, 101))
    assert {len(spans) for spans in traces.values()} == {3}


def test_nothing_begins_behind_the_door() -> None:
    graph = Graph(1.0)
    for name in (*HOPS, "ztad.score", "replica_handle_request Explainer explain"):
        graph.tracer.start_span(name, context=Context()).end()
    assert graph.traces() == {}
    assert EntrySampler(1.0).get_description() == "ZtadEntrySampler"


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "False"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_the_standard_variables_ask_for_export(environment: dict[str, str], asked: bool) -> None:
    assert wanted(environment) is asked


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Where the spans of a ``Tracing`` made during the test end up."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def contexts(count: int) -> list[Context]:
    return [caller(sampled=True, number=number) for number in range(1, count + 1)]


def test_a_micro_batch_links_every_events_trace(exporter: InMemorySpanExporter) -> None:
    with Tracing(enabled=True).batch(contexts(3), 3):
        pass
    spans = {own(span).trace_id: span for span in exporter.get_finished_spans()}
    batch = spans.pop(1)
    assert batch.name == "ztad.score"
    assert batch.parent is not None
    assert batch.parent.trace_id == 1
    assert [link.context.trace_id for link in batch.links] == [2, 3]
    for span in spans.values():
        assert span.name == "ztad.event"
        assert [link.context.span_id for link in span.links] == [own(batch).span_id]
    assert set(spans) == {2, 3}


def test_links_are_bounded_but_every_event_has_its_span(exporter: InMemorySpanExporter) -> None:
    with Tracing(enabled=True).batch(contexts(MOST_LINKS + 10), MOST_LINKS + 10):
        pass
    spans = exporter.get_finished_spans()
    assert Counter(span.name for span in spans)["ztad.event"] == MOST_LINKS + 9
    (batch,) = (span for span in spans if span.name == "ztad.score")
    assert len(batch.links) < MOST_LINKS


def test_spans_end_when_the_batch_fails(exporter: InMemorySpanExporter) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Tracing(enabled=True).batch(contexts(2), 2),
    ):
        raise ZeroDivisionError
    assert len(exporter.get_finished_spans()) == 2
    assert not trace.get_current_span().get_span_context().is_valid


def test_spans_inside_a_batch_are_its_children(exporter: InMemorySpanExporter) -> None:
    tracing = Tracing(enabled=True)
    with tracing.batch(contexts(1), 1), tracing.span("ztad.detect", events=1):
        pass
    inner, batch = exporter.get_finished_spans()
    assert inner.parent is not None
    assert inner.parent.span_id == own(batch).span_id
    assert inner.attributes == {"ztad.events": 1}


def test_stages_are_traced_of_so_many_batches_a_second(exporter: InMemorySpanExporter) -> None:
    now = [100.0]
    tracing = Tracing(enabled=True, clock=lambda: now[0])

    def names() -> Counter[str]:
        exporter.clear()
        for _ in range(int(MOST_WHOLE) + 5):
            with tracing.batch(contexts(2), 2), tracing.span("ztad.detect", events=2):
                pass
        return Counter(span.name for span in exporter.get_finished_spans())

    whole, rest = int(MOST_WHOLE), 5
    assert names() == {"ztad.score": whole, "ztad.detect": whole, "ztad.event": whole + 2 * rest}
    assert names() == {"ztad.event": 2 * (whole + rest)}
    now[0] += 1.0
    assert names()["ztad.score"] == WHOLE_PER_S
    now[0] += 3600.0
    assert names()["ztad.score"] == MOST_WHOLE


def test_a_batch_whose_stages_are_not_traced_hides_the_span_of_its_request(
    exporter: InMemorySpanExporter,
) -> None:
    tracing = Tracing(enabled=True, clock=lambda: 0.0)
    (request,) = contexts(1)
    for _ in range(int(MOST_WHOLE)):
        with tracing.batch([request], 1):
            pass
    token = otel_context.attach(request)
    try:
        with tracing.batch([request], 1):
            assert not trace.get_current_span().get_span_context().is_valid
        assert trace.get_current_span().get_span_context().trace_id == 1
    finally:
        otel_context.detach(token)


@pytest.mark.parametrize("tracing", [NO_TRACING, Tracing(enabled=True)])
def test_nothing_without_a_recorded_trace(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    with tracing.batch([], 5), tracing.span("ztad.detect"):
        assert tracing.current() is None
    assert exporter.get_finished_spans() == ()


def test_trace_ids() -> None:
    given = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-00"
    assert trace_id(given, None) == "ab" * 16
    assert trace_id(given, caller(sampled=True, number=5)) == f"{5:032x}"
    fresh = {trace_id(None, None) for _ in range(10)}
    assert len(fresh) == 10
    assert {len(each) for each in fresh} == {32}
