"""Keys that a pydantic model does not know, however deep: Serve would drop them in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping; YAML would let the second win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def unknown_keys(model: type[BaseModel], given: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and advice of every key in ``given`` that neither ``model`` nor those below it have."""
    if not isinstance(given, Mapping):
        return
    for key, value in given.items():
        here = f"{path}.{key}".lstrip(".")
        field = model.model_fields.get(str(key))
        if field is None:
            close = get_close_matches(str(key), model.model_fields, n=1)
            known = ", ".join(sorted(model.model_fields))
            yield here, f"did you mean {close[0]}?" if close else f"expected one of {known}"
            continue
        yield from _inside(field.annotation, value, here)


def problems(model: type[BaseModel], given: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and message of what the model itself refuses."""
    try:
        model.model_validate(given)
    except ValidationError as error:
        for one in error.errors():
            place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in one["loc"])
            yield f"{path}{place}".lstrip("."), one["msg"]


def _inside(annotation: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    inner = next(_models(annotation), None)
    if inner is None:
        return
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from unknown_keys(inner, one, f"{path}[{index}]")
    elif _is_map(annotation, inner):
        for key, one in value.items() if isinstance(value, Mapping) else ():
            yield from unknown_keys(inner, one, f"{path}.{key}")
    else:
        yield from unknown_keys(inner, value, path)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _is_map(annotation: Any, inner: type[BaseModel]) -> bool:
    """Whether ``inner`` is what a dict maps names to, as in ``dict[str, Options]``."""
    arguments = get_args(annotation)
    if getattr(annotation, "__origin__", None) is dict:
        return len(arguments) == 2 and inner in set(_models(arguments[1]))
    return any(_is_map(part, inner) for part in arguments)
