"""The parts that descriptions of routes are made of."""

from __future__ import annotations

from typing import Any

ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}


def answers(*codes: tuple[str, str]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {code: {"description": text, "content": content} for code, text in codes}


def ok(
    text: str, schema: dict[str, Any], kind: str = "application/json", code: str = "200"
) -> dict[str, Any]:
    return {code: {"description": text, "content": {kind: {"schema": schema}}}}


def parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


BUSY = ("503", "overloaded, or a stage is being replaced: see Retry-After")
ADMISSION = (
    ("401", "no API key, or one that is not known, has expired or was revoked"),
    ("403", "the key lacks the scope; or, served without keys, another machine asks"),
    ("429", "faster than this key may be: see Retry-After"),
)


def scope(name: str) -> dict[str, Any]:
    """What a key must be allowed to do; ``read`` where an operation does not say."""
    return {"security": [{"key": [name]}]}


ID = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
BAD = ("422", "a field that cannot be used, named")
KIND = ("415", "wrong content type")
GONE = ("404", "not scored, or not kept any more")
