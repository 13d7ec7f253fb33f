"""``/openapi.json`` and ``/docs``: what the gateway answers, written down once, no other files."""

from __future__ import annotations

from typing import Any

import msgspec

from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}


_WEIGHTED = {
    "type": "object",
    "required": ["version", "weight"],
    "properties": {
        "version": {"type": "string"},
        "weight": {"type": "number", "minimum": 0, "maximum": 100},
    },
}
_ROUTING = {
    "type": "object",
    "required": ["champion"],
    "properties": {
        "champion": _WEIGHTED,
        "challenger": {"anyOf": [_WEIGHTED, {"type": "null"}]},
        "shadow": {
            "anyOf": [
                {"type": "object", "properties": {"version": {"type": "string"}}},
                {"type": "null"},
            ]
        },
        "revision": {"type": "integer"},
    },
}


def _answers(*codes: tuple[str, str]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {code: {"description": text, "content": content} for code, text in codes}


def _ok(text: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"200": {"description": text, "content": {kind: {"schema": schema}}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_BUSY = ("503", "overloaded, or a stage is being replaced: see Retry-After")
_ADMISSION = (
    ("401", "no API key, or one that is not known, has expired or was revoked"),
    ("403", "the key lacks the scope; or, served without keys, another machine asks"),
    ("429", "faster than this key may be: see Retry-After"),
)
#: Answered without a key.
_OPEN = ("/healthz", "/readyz")


def _scope(name: str) -> dict[str, Any]:
    """What a key must be allowed to do; ``read`` where an operation does not say."""
    return {"security": [{"key": [name]}]}


_ID = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
_METHOD = {
    "name": "method",
    "in": "query",
    "schema": {"type": "string", "enum": ["shap"], "default": "shap"},
}
_BATCH = {
    "application/json": {"schema": {"type": "array", "items": _ref("AuthEvent")}},
    "application/x-ndjson": {"schema": _ref("AuthEvent")},
}


_BAD = ("422", "a field that cannot be used, named")
_KIND = ("415", "wrong content type")


def _paths() -> dict[str, Any]:
    paths = _scoring_paths() | _event_paths() | _model_paths() | _page_paths()
    for path, operations in paths.items():
        if path not in _OPEN:
            for verb, operation in operations.items():
                operations[verb] = _admitted(operation)
    return paths


def _admitted(operation: dict[str, Any]) -> dict[str, Any]:
    """An operation that a key is needed for."""
    responses = operation["responses"] | _answers(*_ADMISSION)
    return {**_scope("read"), **operation, "responses": dict(sorted(responses.items()))}


def _scoring_paths() -> dict[str, Any]:
    verdict, many = _ref("Verdict"), {"type": "array", "items": _ref("Verdict")}
    large = ("413", "too large or too many")
    event = {"application/json": {"schema": _ref("AuthEvent")}}
    return {
        "/v1/score": {
            "post": {
                **_scope("score"),
                "summary": "Score one event",
                "requestBody": {"required": True, "content": event},
                "responses": _ok("its verdict", verdict) | _answers(_BAD, large, _KIND, _BUSY),
            }
        },
        "/v1/score/batch": {
            "post": {
                **_scope("score"),
                "summary": "Score up to 10,000 events (16 MiB), answered in order",
                "description": "A bad item gets its error in its place; the others are scored.",
                "requestBody": {"required": True, "content": _BATCH},
                "responses": _ok("verdicts, same framing", many)
                | _answers(_BAD, large, _KIND, _BUSY),
            }
        },
    }


def _event_paths() -> dict[str, Any]:
    return {
        "/v1/events/{id}": {
            "get": {
                "summary": "What was decided of an event",
                "parameters": _ID,
                "responses": _ok("its first verdict", _ref("Verdict"))
                | _answers(("404", "not kept any more")),
            }
        },
        "/v1/events/{id}/explanation": {
            "get": {
                "summary": "Why an event got its score",
                "parameters": [*_ID, _METHOD],
                "responses": _ok("contribution of every feature", {"type": "object"})
                | _answers(("404", "not kept any more"), _BAD),
            }
        },
    }


def _model_paths() -> dict[str, Any]:
    routing = {"application/json": {"schema": _ref("Routing")}}
    return {
        "/v1/models": {
            "get": {
                "summary": "Which versions answer, and what each made of its events",
                "responses": _ok("versions", {"type": "object"}),
            }
        },
        "/v1/routing": {
            "get": {
                "summary": "Which version answers which share of the users, and which one watches",
                "responses": _ok("the routing in force", _ref("Routing")),
            },
            "put": {
                **_scope("admin"),
                "summary": "Put another routing in force, live",
                "description": "Takes effect once every replica has the versions it names. With "
                "a revision, only if nobody changed it since.",
                "requestBody": {"required": True, "content": routing},
                "responses": _ok("the routing now in force", _ref("Routing"))
                | _answers(_BAD, _KIND, ("409", "another revision is in force"), _BUSY),
            },
        },
    }


def _page_paths() -> dict[str, Any]:
    return {
        "/healthz": {"get": {"summary": "Alive", "responses": _ok("alive", {"type": "object"})}},
        "/readyz": {
            "get": {
                "summary": "Every stage answers for a canned event",
                "responses": _ok("ready", {"type": "object"}) | _answers(("503", "not ready")),
            }
        },
        "/metrics": {
            "get": {
                "summary": "Prometheus metrics",
                "responses": _ok("text exposition", {"type": "string"}, "text/plain"),
            }
        },
    }


def _openapi() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(
        [AuthEvent, Verdict], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ztad",
            "version": "1",
            "description": "Scores login and access events, and says why one is suspicious.",
        },
        "paths": _paths(),
        "components": {
            "schemas": {**schemas, "Error": _ERROR, "Routing": _ROUTING},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, made by 'ztad keys create'; also as X-API-Key.",
                }
            },
        },
    }


_OPENAPI = _openapi()
OPENAPI: bytes = msgspec.json.encode(_OPENAPI)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ztad API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f5f7;border-radius:4px}
code{padding:.1em .3em}pre{padding:1rem;overflow-x:auto}
h2{margin-top:2.2rem;border-bottom:1px solid #d8dee4;padding-bottom:.3rem}
.verb{display:inline-block;min-width:3.6rem;text-align:center;border-radius:4px;color:#fff;
background:#0a6b3d;font-size:.8rem;padding:.15rem .3rem;margin-right:.5rem}
.get{background:#0b5cad}table{border-collapse:collapse}
td{padding:.15rem .8rem .15rem 0;vertical-align:top}
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}
code,pre{background:#161b22}h2{border-color:#30363d}}
</style></head><body>
<h1>ztad API</h1>
<p>Scores login and access events as they happen, and says why one is suspicious. The machine
readable description is <a href="/openapi.json">/openapi.json</a>.</p>
<pre>curl -s http://localhost:8000/v1/score -H 'content-type: application/json' -d '{
  "timestamp": "2026-11-22T08:15:00Z", "user_id": "ann", "outcome": "success",
  "source_ip": "192.0.2.7", "country": "DE", "city": "Berlin",
  "latitude": 52.52, "longitude": 13.40, "device_id": "laptop-1"}'</pre>
%s
<h2>Schemas</h2>%s
</body></html>
"""


def _docs() -> bytes:
    from html import escape

    sections = []
    for path, operations in _OPENAPI["paths"].items():
        for verb, operation in operations.items():
            rows = "".join(
                f"<tr><td><code>{code}</code></td><td>{escape(answer['description'])}</td></tr>"
                for code, answer in operation["responses"].items()
            )
            note = escape(operation.get("description", ""))
            sections.append(
                f'<h2><span class="verb {verb}">{verb.upper()}</span><code>{escape(path)}</code>'
                f"</h2><p>{escape(operation['summary'])}. {note}</p><table>{rows}</table>"
            )
    schemas = "".join(
        f"<h3>{name}</h3><pre>{escape(msgspec.json.format(msgspec.json.encode(schema)).decode())}"
        "</pre>"
        for name, schema in _OPENAPI["components"]["schemas"].items()
    )
    return (_PAGE % ("".join(sections), schemas)).encode()


DOCS: bytes = _docs()
