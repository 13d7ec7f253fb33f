"""What people write in the rules file, read strictly: unknown keys, durations, times of day.

Every complaint names the key and what is expected of it. It repeats names, never what a key was set
to: that could be a secret in the wrong place.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_MINUTES = 24 * 60


class RulesError(ValueError):
    """A rules file that cannot be used: each problem names its key and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Strict(BaseModel):
    """A mapping whose keys are all known; frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in given:
                if key not in known:
                    raise ValueError(f"{unknown(str(key), known)}")
        return given


def unknown(name: str, known: list[str]) -> str:
    """Says that a name is unknown, and which were meant or possible.

    >>> unknown("reasns", ["reasons", "users"])
    "unknown: 'reasns'; did you mean 'reasons'?"
    """
    near = get_close_matches(name, known, n=1)
    if near:
        return f"unknown: {name[:64]!r}; did you mean {near[0]!r}?"
    return f"unknown: {name[:64]!r}; expected one of {', '.join(sorted(known)) or '(none)'}"


def seconds(given: object) -> float:
    """A duration in seconds.

    >>> seconds("90s"), seconds("4h"), seconds(0)
    (90.0, 14400.0, 0.0)
    """
    if given == 0 and not isinstance(given, bool):
        return 0.0
    match = _DURATION.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None:
        raise ValueError("expected a duration such as 30s, 5m, 4h or 2d")
    return float(match.group(1)) * _SECONDS[match.group(2)]


def minutes(given: object) -> int:
    """A time of day in minutes after midnight.

    >>> minutes("08:30"), minutes("24:00")
    (510, 1440)
    """
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= _MINUTES:
        return given  # an unquoted 18:00, which YAML takes for a number to base sixty
    match = _CLOCK.fullmatch(given.strip()) if isinstance(given, str) else None
    total = -1 if match is None else int(match.group(1)) * 60 + int(match.group(2))
    if not 0 <= total <= _MINUTES:
        raise ValueError('expected a time of day such as "08:30", in quotes')
    return total


Duration = Annotated[float, BeforeValidator(seconds)]
"""Seconds, written like ``30s``, ``5m``, ``4h`` or ``2d``."""

TimeOfDay = Annotated[int, BeforeValidator(minutes)]
"""Minutes after midnight, written like ``"08:30"``."""


def problems(error: ValidationError) -> list[str]:
    """One line per problem: the key, then what is wrong with it."""
    told = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        key = ".".join(str(part) for part in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        told.append(f"{key}: {message}" if key else message)
    return list(dict.fromkeys(told))
