"""Parameters of a query, checked; each refusal is a 422 that names the parameter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from alerting.strict import unknown
from services.http import HttpError

Query = Mapping[str, str]


def only_known(query: Query, names: Collection[str]) -> None:
    """Refuse a parameter of another name: a mistyped filter would show what was not asked for."""
    for name in query:
        if name not in names:
            raise HttpError(422, name[:64], unknown(name, list(names)))


def choice(query: Query, name: str, choices: Collection[str]) -> str | None:
    """One of a few words."""
    value = query.get(name)
    if value is not None and value not in choices:
        raise HttpError(422, name, f"expected one of {', '.join(choices)}")
    return value


def instant(query: Query, name: str) -> float | None:
    """A time, seconds since the epoch."""
    if name not in query:
        return None
    # A plus sign arrives as a space when nobody encoded it.
    try:
        at = datetime.fromisoformat(query[name].replace(" ", "+"))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        message = "expected RFC 3339 with an offset, such as 2026-11-22T08:15:00Z"
        raise HttpError(422, name, message)
    return at.timestamp()


def serial(query: Query, name: str) -> int | None:
    """What the page before gave as next, where that is a number."""
    given = query.get(name)
    if given is not None and not (given.isascii() and given.isdigit() and len(given) < 19):
        raise HttpError(422, name, "expected what the page before gave as next")
    return None if given is None else int(given)


def limit(query: Query, *, default: int, most: int) -> int:
    """How many to show."""
    given = query.get("limit", str(default))
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= most):
        raise HttpError(422, "limit", f"expected 1 to {most}")
    return int(given)
