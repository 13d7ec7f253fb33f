"""What is documented is what is served."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from ensemble.verdict import Verdict
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from services.documents import DOCS, OPENAPI
from services.local import local_gateway

API: dict[str, Any] = json.loads(OPENAPI)

#: Routes that describe the others.
ABOUT = {"/docs", "/openapi.json"}


def served(bundle: Bundle) -> set[tuple[str, str]]:
    """Method and path of every route of the gateway."""
    return {(route.method, route.path) for route in local_gateway(bundle).routes}


def test_every_route_is_documented_and_no_other(bundle: Bundle) -> None:
    documented = {
        (verb.upper(), path) for path, operations in API["paths"].items() for verb in operations
    }
    assert documented == {route for route in served(bundle) if route[1] not in ABOUT}


def test_every_scope_is_documented(bundle: Bundle) -> None:
    for route in local_gateway(bundle).routes:
        if route.path in ABOUT:
            continue
        told = API["paths"][route.path][route.method.lower()]
        if route.access == "open":
            assert "security" not in told, route.path
        else:
            assert told["security"] == [{"key": [route.access]}], route.path
            assert {"401", "403", "429"} <= set(told["responses"]), route.path


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref":\s*"([^"]+)"', OPENAPI.decode()):
        target: Any = API
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert target


def test_the_document_has_what_openapi_demands() -> None:
    assert re.fullmatch(r"3\.1\.\d", API["openapi"])
    assert {"title", "version"} <= set(API["info"])
    for path, operations in API["paths"].items():
        named = set(re.findall(r"\{(\w+)\}", path))
        for operation in operations.values():
            parameters = operation.get("parameters", [])
            assert {each["name"] for each in parameters if each["in"] == "path"} == named
            assert all(each["required"] for each in parameters if each["in"] == "path")
            assert operation["summary"]
            assert {"200", "201"} & set(operation["responses"])
            for code, answer in operation["responses"].items():
                assert re.fullmatch(r"[2-5]\d\d", code)
                assert answer["description"]


def test_the_schemas_are_json_schema() -> None:
    for schema in API["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def valid(name: str, value: object) -> bool:
    root = {"$ref": f"#/components/schemas/{name}", "components": API["components"]}
    return bool(Draft202012Validator(root).is_valid(value))


def test_the_schemas_describe_events_and_verdicts() -> None:
    event = {"timestamp": "2025-06-02T08:15:00Z", "user_id": "ann", "outcome": "success"}
    assert valid("AuthEvent", event)
    assert not valid("AuthEvent", {**event, "latitude": 999})
    assert not valid("AuthEvent", {**event, "outcome": "maybe"})
    assert set(API["components"]["schemas"]["AuthEvent"]["properties"]) == set(
        AuthEvent.__struct_fields__
    )
    verdict = Verdict("e", "u", 0.5, False, 0.9, "info", (), {"d": 0.5}, "champion", "v")
    assert valid("Verdict", json.loads(msgspec.json.encode(verdict)))
    assert valid("Error", {"error": {"field": "x", "message": "y"}})


class Links(HTMLParser):
    """What a page loads or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_page_names_every_route_and_loads_nothing_else() -> None:
    page = DOCS.decode()
    for path in API["paths"]:
        assert f"<code>{path}</code>" in page
    links = Links()
    links.feed(page)
    assert links.targets == ["/openapi.json"]
    assert "<script" not in page
