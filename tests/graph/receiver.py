"""A real OTLP/HTTP receiver in this process: what a collector would get, over the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Exported


@dataclass(frozen=True, slots=True)
class Span:
    """One exported span; ids in hexadecimal, ``parent`` empty for a root."""

    name: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    service: str


class Receiver:
    """Listens on a free port of this machine and keeps every span it is sent."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._arrived = threading.Condition()
        receive = self._receive

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receive(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """A test's output is not the place for access logs."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace that have arrived."""
        with self._arrived:
            return [span for span in self._spans if span.trace == trace_id]

    def roots(self) -> list[Span]:
        """Spans that have begun a trace."""
        with self._arrived:
            return [span for span in self._spans if not span.parent]

    def wait(
        self, trace_id: str, whole: Callable[[list[Span]], bool], *, within_s: float = 30.0
    ) -> list[Span]:
        """The spans of a trace once ``whole`` says so, or what has come when time is up."""
        deadline = time.monotonic() + within_s
        with self._arrived:
            while True:
                spans = [span for span in self._spans if span.trace == trace_id]
                if whole(spans) or not self._arrived.wait(deadline - time.monotonic()):
                    return spans

    def _receive(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._arrived:
            for resource in request.resource_spans:
                attributes = {each.key: each.value.string_value
                              for each in resource.resource.attributes}  # fmt: skip
                service = attributes.get("service.name", "")
                for scope in resource.scope_spans:
                    self._spans.extend(_span(each, service) for each in scope.spans)
            self._arrived.notify_all()


def _span(exported: Exported, service: str) -> Span:
    return Span(
        name=exported.name,
        trace=exported.trace_id.hex(),
        id=exported.span_id.hex(),
        parent=exported.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in exported.links),
        service=service,
    )
