"""A schema registry on a port of this machine, for tests of Avro."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any

import fastavro

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": name, "type": ["null", "string"], "default": None}
        for name in ("event_id", "timestamp", "user_id", "outcome", "country", "source_ip")
    ],
}


@contextmanager
def registry(schemas: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            number = int(self.path.rpartition("/")[2])
            known = number in schemas
            body = json.dumps({"schema": json.dumps(schemas[number])} if known else {}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def framed(event: object, schema: Mapping[str, Any] = SCHEMA, number: int = 7) -> bytes:
    """An event as producers write it."""
    to = BytesIO()
    fastavro.schemaless_writer(to, fastavro.parse_schema(dict(schema)), event)
    return b"\0" + number.to_bytes(4, "big") + to.getvalue()
