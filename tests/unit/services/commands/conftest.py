"""A small labelled set and a bundle trained on it, made once through the command line; and a
server of ``/v1/routing``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from services.cli import main
from services.http import error_body
from services.routing import RoutingError, StaleRevision, describe, only, parse


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with events.csv and labels.csv, 600 events."""
    folder = tmp_path_factory.mktemp("set")
    words = ["generate", "--scenario", "seedlike", "--events", "600", "--out", str(folder)]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="session")
def bundle(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle trained on ``small_set``."""
    out = tmp_path_factory.mktemp("bundles") / "small"
    words = ["--events", str(small_set / "events.csv"), "--out", str(out), "--no-register"]
    assert main(["train", *words]) == 0
    return out


class RoutingServer(ThreadingHTTPServer):
    """Speaks ``/v1/routing`` on a socket, with the gateway's own reading and telling of documents.

    Starts with version 1 as champion; knows ``versions``; wants ``key`` unless that is empty.
    """

    def __init__(self, versions: set[str], key: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.now = replace(only("1", "/1"), revision=7, changed_at="2026-11-22T08:00:00Z")
        self.versions = versions
        self.key = key
        self.changes = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def find(self, version: str) -> Path:
        if version not in self.versions:
            raise LookupError(f"version {version} is not here")
        return Path("/", version)


class _Handler(BaseHTTPRequestHandler):
    server: RoutingServer

    def do_GET(self) -> None:
        self._answer(200, describe(self.server.now))

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        server, now = self.server, datetime.now(UTC)
        try:
            server.now = parse(body, server.now, server.find, by="ann", now=now)
        except RoutingError as error:
            status = 409 if isinstance(error, StaleRevision) else 422
            self._answer(status, error_body(error.field, error.message))
        else:
            server.changes += 1
            self._answer(200, describe(server.now))

    def _answer(self, status: int, body: bytes) -> None:
        wanted = f"Bearer {self.server.key}" if self.server.key else None
        if self.headers["authorization"] != wanted:
            status, body = 401, error_body("authorization", "unknown API key")
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on stderr."""


@pytest.fixture
def routing_server() -> Iterator[RoutingServer]:
    """A running server that knows the versions 1, 2 and 3."""
    with RoutingServer({"1", "2", "3"}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
