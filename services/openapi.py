"""What the gateway answers, route by route, as OpenAPI; a test compares it with the routes."""

from __future__ import annotations

from typing import Any

import msgspec

from ensemble.explain.methods import METHODS
from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent
from services.openapi_parts import (
    ADMISSION,
    BAD,
    BUSY,
    ERROR,
    GONE,
    ID,
    KIND,
    answers,
    ok,
    parameter,
    ref,
    scope,
)
from services.routes.alerts import PARAMETERS as ALERT_PARAMETERS
from services.routes.audit import PAGE as AUDIT_PAGE
from services.routes.audit import PARAMETERS as AUDIT_PARAMETERS
from services.routes.consumers import PATHS as CONSUMER_PATHS
from services.routes.events import PARAMETERS as EVENT_PARAMETERS
from services.routes.feedback import EFFECTS, FEEDBACK
from services.routes.feedback import PARAMETERS as FEEDBACK_PARAMETERS
from services.routes.history import COMPARISON_PARAMETERS, HISTORY_PARAMETERS
from services.routes.models import ROUTING
from services.routes.stream import PARAMETERS as STREAM_PARAMETERS

#: Answered without a key.
_OPEN = ("/healthz", "/readyz")


_METHOD = {
    "name": "method",
    "in": "query",
    "schema": {"type": "string", "enum": list(METHODS), "default": METHODS[0]},
    "description": "shap: what every feature added; lime: what would move the score from here; "
    "counterfactual: what would have kept the event quiet",
}
_BATCH = {
    "application/json": {"schema": {"type": "array", "items": ref("AuthEvent")}},
    "application/x-ndjson": {"schema": ref("AuthEvent")},
}


_PAGE_OF_EVENTS = {
    "type": "object",
    "properties": {
        "verdicts": {"type": "array", "items": ref("Verdict")},
        "next": {"type": ["string", "null"]},
    },
}


def _paths() -> dict[str, Any]:
    paths = (
        _scoring_paths()
        | _event_paths()
        | _alert_paths()
        | _model_paths()
        | _page_paths()
        | _history_paths()
        | _feedback_paths()
        | CONSUMER_PATHS
    )
    for path, operations in paths.items():
        if path not in _OPEN:
            for verb, operation in operations.items():
                operations[verb] = _admitted(operation)
    return paths


def _admitted(operation: dict[str, Any]) -> dict[str, Any]:
    """An operation that a key is needed for."""
    responses = operation["responses"] | answers(*ADMISSION)
    return {**scope("read"), **operation, "responses": dict(sorted(responses.items()))}


def _scoring_paths() -> dict[str, Any]:
    verdict, many = ref("Verdict"), {"type": "array", "items": ref("Verdict")}
    large = ("413", "too large or too many")
    event = {"application/json": {"schema": ref("AuthEvent")}}
    return {
        "/v1/score": {
            "post": {
                **scope("score"),
                "summary": "Score one event",
                "requestBody": {"required": True, "content": event},
                "responses": ok("its verdict", verdict) | answers(BAD, large, KIND, BUSY),
            }
        },
        "/v1/score/batch": {
            "post": {
                **scope("score"),
                "summary": "Score up to 10,000 events (16 MiB), answered in order",
                "description": "A bad item gets its error in its place; the others are scored.",
                "requestBody": {"required": True, "content": _BATCH},
                "responses": ok("verdicts, same framing", many) | answers(BAD, large, KIND, BUSY),
            }
        },
    }


def _event_paths() -> dict[str, Any]:
    return {
        "/v1/events": {
            "get": {
                "summary": "Verdicts, the newest event first",
                "description": "Filters: since, until, user, address, severity (at least), reason "
                "(one of them), version, anomaly (true or false); pages: limit, after.",
                "parameters": [parameter(name) for name in EVENT_PARAMETERS],
                "responses": ok("one page of verdicts, and the next one's cursor", _PAGE_OF_EVENTS)
                | answers(BAD, BUSY),
            }
        },
        "/v1/events/{id}": {
            "get": {
                "summary": "What was decided of an event",
                "parameters": ID,
                "responses": ok("its first verdict", ref("Verdict")) | answers(GONE, BUSY),
            }
        },
        "/v1/events/{id}/event": {
            "get": {
                "summary": "The event as it came",
                "parameters": ID,
                "responses": ok("the event", ref("AuthEvent"))
                | answers(GONE, ("410", "only the verdict is kept"), BUSY),
            }
        },
        "/v1/events/{id}/explanation": {
            "get": {
                "summary": "Why an event got its score",
                "description": "By the version that judged it, from what was known when it did: "
                "the same answer however long ago that was.",
                "parameters": [*ID, _METHOD],
                "responses": ok(
                    "the verdict, the event with its user's baseline, and the explanation with "
                    "its summary, baseline, window and confidence in words",
                    {"type": "object"},
                )
                | answers(
                    GONE,
                    ("410", "only the verdict is kept, or the version's bundle is gone"),
                    BAD,
                    BUSY,
                ),
            }
        },
        "/v1/stream": {
            "get": {
                "summary": "Verdicts over the threshold as they are recorded",
                "description": "Server-sent events; the data of each is a verdict. With the header "
                "Last-Event-ID, everything recorded since that event comes first. A client that is "
                "too slow gets an event of type skipped that says how many verdicts were left out.",
                "parameters": [parameter(name) for name in STREAM_PARAMETERS],
                "responses": ok("until the client leaves", {"type": "string"}, "text/event-stream")
                | answers(BAD, BUSY),
            }
        },
    }


def _alert_paths() -> dict[str, Any]:
    document = {"type": "object"}
    gone = ("404", "no such id, or not kept any more")
    sent = {"required": True, "content": {"application/json": {"schema": document}}}
    changed = answers(BAD, KIND, gone, BUSY)
    return {
        "/v1/alerts": {
            "get": {
                "summary": "The queue of alerts, newest first",
                "description": "Filters: severity (at least), user, address, reason, status, "
                "channel, delivery, since, until; pages: limit, after.",
                "parameters": [parameter(name) for name in ALERT_PARAMETERS],
                "responses": ok("one page of alerts", document) | answers(BAD, BUSY),
            }
        },
        "/v1/alerts/{id}": {
            "get": {
                "summary": "One alert with its chain of events and its deliveries",
                "parameters": ID,
                "responses": ok("the alert", document) | answers(gone, BUSY),
            }
        },
        "/v1/alerts/{id}/ack": {
            "post": {
                **scope("admin"),
                "summary": "Somebody has taken an alert on; it is not sent again",
                "parameters": ID,
                "requestBody": {"content": {"application/json": {"schema": document}}},
                "responses": ok("the alert", document) | changed,
            }
        },
        "/v1/silences": {
            "get": {
                "summary": "What is silent, until when, and who said so",
                "responses": ok("silences", document) | answers(BUSY),
            },
            "post": {
                **scope("admin"),
                "summary": "Silence users, addresses or reasons for a while",
                "requestBody": sent,
                "responses": ok("the silence", document, code="201") | changed,
            },
        },
        "/v1/silences/{id}": {
            "delete": {
                **scope("admin"),
                "summary": "End a silence now",
                "parameters": ID,
                "responses": ok("the silence", document) | changed,
            }
        },
    }


def _model_paths() -> dict[str, Any]:
    routing = {"application/json": {"schema": ref("Routing")}}
    return {
        "/v1/models": {
            "get": {
                "summary": "Which versions answer, and what each made of its events",
                "responses": ok("versions", {"type": "object"}),
            }
        },
        "/v1/routing": {
            "get": {
                "summary": "Which version answers which share of the users, and which one watches",
                "responses": ok("the routing in force", ref("Routing")),
            },
            "put": {
                **scope("admin"),
                "summary": "Put another routing in force, live",
                "description": "Takes effect once every replica has the versions it names. With "
                "a revision, only if nobody changed it since.",
                "requestBody": {"required": True, "content": routing},
                "responses": ok("the routing now in force", ref("Routing"))
                | answers(BAD, KIND, ("409", "another revision is in force"), BUSY),
            },
        },
    }


def _history_paths() -> dict[str, Any]:
    document = {"type": "object"}
    return {
        "/v1/models/comparison": {
            "get": {
                "summary": "What a version that watches would have flagged, against what was",
                "description": "Counts of the events since a time (default: the last day), the "
                "first reasons of what only one of the two flagged, and the newest such events.",
                "parameters": [parameter(name) for name in COMPARISON_PARAMETERS],
                "responses": ok("the comparison", document) | answers(BAD, BUSY),
            }
        },
        "/v1/routing/history": {
            "get": {
                "summary": "Every routing that was in force, and who put it there, newest first",
                "parameters": [parameter(name) for name in HISTORY_PARAMETERS],
                "responses": ok("routings", document) | answers(BAD, BUSY),
            }
        },
    }


def _feedback_paths() -> dict[str, Any]:
    document = {"type": "object"}
    unknown = ("404", "no such id, or not kept any more")
    return {
        "/v1/feedback": {
            "get": {
                "summary": "What was said of events, by whom and when, newest first",
                "description": "Filters: user, event; pages: limit, after.",
                "parameters": [parameter(name) for name in FEEDBACK_PARAMETERS],
                "responses": ok("one page of feedback", document) | answers(BAD, BUSY),
            },
            "post": {
                **scope("admin"),
                "summary": "Say what an event was",
                "description": EFFECTS,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": FEEDBACK}},
                },
                "responses": ok("the feedback", document, code="201")
                | answers(BAD, KIND, unknown, BUSY),
            },
        },
        "/v1/audit": {
            "get": {
                **scope("admin"),
                "summary": "Who changed what and who was refused, newest first",
                "parameters": [parameter(name) for name in AUDIT_PARAMETERS],
                "responses": ok("one page of audit lines", AUDIT_PAGE) | answers(BAD, BUSY),
            }
        },
        "/v1/feedback/{id}": {
            "delete": {
                **scope("admin"),
                "summary": "Take feedback back, with its effect",
                "parameters": ID,
                "responses": ok("the feedback that takes it back", document)
                | answers(unknown, ("409", "something else was said since"), BUSY),
            }
        },
    }


def _page_paths() -> dict[str, Any]:
    return {
        "/healthz": {"get": {"summary": "Alive", "responses": ok("alive", {"type": "object"})}},
        "/readyz": {
            "get": {
                "summary": "Every stage answers for a canned event",
                "responses": ok("ready", {"type": "object"}) | answers(("503", "not ready")),
            }
        },
        "/metrics": {
            "get": {
                "summary": "Prometheus metrics",
                "responses": ok("text exposition", {"type": "string"}, "text/plain"),
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
            "schemas": {**schemas, "Error": ERROR, "Routing": ROUTING},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, made by 'ztad keys create'; also as X-API-Key.",
                }
            },
        },
    }


DOCUMENT = _openapi()
