"""``Route`` and ``Request``: what a handler is given, and how a path finds its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

from opentelemetry.context import Context

from services.http import HttpError, Receive, Response, Scope, Stream, media_type, read_body

Access = Literal["open", "score", "read", "admin"]
"""What a key must be allowed to do: nothing (no key needed), send events, read, change things."""

#: Requests that change something carry a small document.
MOST_DOCUMENT_BYTES = 1 << 16


@dataclass(slots=True)
class Request:
    """One request. ``caller`` names who asks, for audit lines: a key's name, or empty; ``key`` is
    the fingerprint of the one that was sent."""

    scope: Scope
    receive: Receive
    trace_id: str
    context: Context | None
    caller: str = ""
    key: str = ""
    params: dict[str, str] = field(default_factory=dict)

    def query(self) -> dict[str, str]:
        """The query's last value of every name."""
        return dict(parse_qsl(self.scope.get("query_string", b"").decode("latin-1")))

    async def body(self, *, most_bytes: int = MOST_DOCUMENT_BYTES) -> bytes:
        """The whole body; raises 413 and ``services.http.Disconnected``."""
        return await read_body(self.scope, self.receive, most_bytes=most_bytes)

    def media_type(self) -> bytes:
        """The content type without parameters, lower case."""
        return media_type(self.scope)


Handler = Callable[[Request], Awaitable[Response | Stream]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. A path may hold one ``{id}``, which matches everything between."""

    method: str
    path: str
    handle: Handler
    access: Access = "read"


class Router:
    """Finds the route of a request: one dictionary look-up for paths without an ``{id}``."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[str, str, dict[str, Route]]] = []
        self.routes = tuple(routes)
        for route in self.routes:
            self._methods(route.path)[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and its parameters; raises 404 and 405."""
        params: dict[str, str] = {}
        methods = self._exact.get(path)
        if methods is None:
            methods, params = self._match(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise _not_allowed(methods)
        return route, params

    def _match(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        for before, after, methods in self._patterns:
            fits = path.startswith(before) and path.endswith(after)
            if fits and len(path) > len(before) + len(after):
                return methods, {"id": path[len(before) : len(path) - len(after)]}
        raise HttpError(404, "path", "no such route; see /docs")

    def _methods(self, path: str) -> dict[str, Route]:
        """The routes of a path; ``/{id}/explanation`` is tried before ``/{id}``."""
        before, brace, after = path.partition("{id}")
        if not brace:
            return self._exact.setdefault(path, {})
        for known_before, known_after, methods in self._patterns:
            if (known_before, known_after) == (before, after):
                return methods
        added: dict[str, Route] = {}
        self._patterns.append((before, after, added))
        self._patterns.sort(key=lambda pattern: -len(pattern[0]) - len(pattern[1]))
        return added


def _not_allowed(methods: Iterable[str]) -> HttpError:
    allowed = sorted({*methods, *(("HEAD",) if "GET" in methods else ())})
    expected = " or ".join(name for name in allowed if name != "HEAD")
    allow = ", ".join(allowed).encode()
    return HttpError(405, "method", f"expected {expected}", headers=((b"allow", allow),))
