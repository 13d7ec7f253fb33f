"""``Routing``: which model version answers for whom, and which one only watches.

A user stays with a version: the choice is a stable hash of the user's name. Raising the
challenger's weight moves users to the challenger and nobody back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import isclose
from pathlib import Path
from typing import Literal

import msgspec

Variant = Literal["champion", "challenger", "shadow"]

#: A version is also the name of a folder.
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
#: Users fall into this many buckets, so a weight is good to a hundredth of a per cent.
BUCKETS = 10_000
#: Keeps our buckets independent of whoever else hashes the same names (BLAKE2 takes 8 to 16 bytes).
_PERSON = b"ztad-routing"


class Live(msgspec.Struct, frozen=True, array_like=True):
    """One version in use. ``weight`` is the percentage of users it answers; a shadow's is 0.

    ``path`` is the folder of its bundle, the same on every node.
    """

    variant: Variant
    version: str
    path: str
    weight: float = 100.0


class Routing(msgspec.Struct, frozen=True):
    """Who answers as of one revision. ``answering`` holds the champion, then the challenger."""

    answering: tuple[Live, ...]
    shadow: Live | None = None
    revision: int = 0
    changed_at: str = ""
    changed_by: str = ""
    base: str = ""
    """The version that the graph was started with when this was decided."""

    @property
    def champion(self) -> Live:
        return self.answering[0]

    @property
    def everyone(self) -> tuple[Live, ...]:
        """Every version in use, the shadow last."""
        return self.answering if self.shadow is None else (*self.answering, self.shadow)

    def assign(self, user_ids: Sequence[str]) -> list[list[int]]:
        """For each answering version the rows (places in ``user_ids``) it is to judge."""
        weights = [live.weight for live in self.answering]
        if max(weights) >= 100.0:
            everyone = list(range(len(user_ids)))
            return [everyone if weight >= 100.0 else [] for weight in weights]
        limit = weights[1] * BUCKETS / 100.0
        rows: tuple[list[int], list[int]] = ([], [])
        for row, user_id in enumerate(user_ids):
            rows[bucket(user_id) < limit].append(row)
        return list(rows)


def only(version: str, path: str) -> Routing:
    """Everybody is answered by one version."""
    return Routing((Live("champion", version, path),), base=version)


def bucket(user_id: str) -> int:
    """The user's place in [0, BUCKETS): the same in every process and forever.

    >>> bucket("ann"), bucket("bob")
    (7713, 4754)
    """
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, person=_PERSON).digest()
    return int.from_bytes(digest, "big") * BUCKETS >> 64


class RoutingError(ValueError):
    """A routing that cannot be used: the field at fault and what is expected of it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class StaleRevision(RoutingError):
    """Somebody else changed the routing in the meantime."""

    def __init__(self, given: int, current: int) -> None:
        message = f"{given} is not the current revision {current}; read it again, then change it"
        super().__init__("revision", message)


class _Weighted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    weight: float


class _Watching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str


class _Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document of ``PUT /v1/routing``."""

    champion: _Weighted
    challenger: _Weighted | None = None
    shadow: _Watching | None = None
    revision: int | None = None


_WANTED = msgspec.json.Decoder(_Wanted)
Find = Callable[[str], Path]
"""The bundle folder of a version; raises :class:`LookupError` with a message for people."""


def parse(document: bytes, current: Routing, find: Find, *, by: str, now: datetime) -> Routing:
    """The routing that a document asks for; raises :class:`RoutingError`."""
    try:
        wanted = _WANTED.decode(document)
    except msgspec.DecodeError as error:
        raise RoutingError("body", str(error)) from None
    if wanted.revision is not None and wanted.revision != current.revision:
        raise StaleRevision(wanted.revision, current.revision)
    answering = [_live("champion", wanted.champion.version, wanted.champion.weight, find)]
    if wanted.challenger is not None:
        given = wanted.challenger
        answering.append(_live("challenger", given.version, given.weight, find))
    _check_weights(answering)
    shadow = None
    if wanted.shadow is not None:
        shadow = _live("shadow", wanted.shadow.version, 0.0, find)
    routing = Routing(
        tuple(answering),
        shadow,
        revision=current.revision + 1,
        changed_at=now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        changed_by=by,
        base=current.base,
    )
    _check_distinct(routing.everyone)
    return routing


def _live(variant: Variant, version: str, weight: float, find: Find) -> Live:
    field = f"{variant}.version"
    if not VERSION.fullmatch(version):
        raise RoutingError(field, "expected letters, digits, '.', '_' or '-', like 2026-11-22.1")
    if not 0.0 <= weight <= 100.0:
        raise RoutingError(f"{variant}.weight", f"expected a percentage 0 to 100, got {weight:g}")
    try:
        path = find(version)
    except LookupError as error:
        raise RoutingError(field, str(error.args[0])) from None
    return Live(variant, version, str(path), weight)


def _check_weights(answering: Sequence[Live]) -> None:
    total = sum(live.weight for live in answering)
    if not isclose(total, 100.0, abs_tol=1e-6):
        names = " and ".join(f"{live.variant}.weight" for live in answering)
        raise RoutingError("champion.weight", f"expected {names} to be 100 together, got {total:g}")


def _check_distinct(everyone: Sequence[Live]) -> None:
    seen: dict[str, str] = {}
    for live in everyone:
        if live.version in seen:
            message = f"{live.version} is already the {seen[live.version]}; give another version"
            raise RoutingError(f"{live.variant}.version", message)
        seen[live.version] = live.variant


def describe(routing: Routing) -> bytes:
    """The answer of ``GET /v1/routing``: what ``PUT`` takes, and who decided it when."""
    challenger = routing.answering[1] if len(routing.answering) > 1 else None
    shadow = routing.shadow
    return msgspec.json.encode(
        {
            "champion": _weighted(routing.champion),
            "challenger": challenger and _weighted(challenger),
            "shadow": shadow and {"version": shadow.version},
            "revision": routing.revision,
            "changed_at": routing.changed_at,
            "changed_by": routing.changed_by,
        }
    )


def _weighted(live: Live) -> dict[str, str | float]:
    return {"version": live.version, "weight": live.weight}


def encode(routing: Routing) -> bytes:
    """A routing as it is kept."""
    return msgspec.json.encode(routing)


def decode(document: bytes) -> Routing:
    """What :func:`encode` wrote; raises ``msgspec.DecodeError``."""
    return msgspec.json.decode(document, type=Routing)
