"""``trail``: what a user's last events looked like, so that a chain of them can be judged as one.

A step is one event in WIDTH bytes, a trail the last LENGTH steps of one user, oldest first, the
event itself last. A byte is 0 where there was no event yet, else 1 and more (:class:`Field`).
Steps hold facts on fixed scales and nothing that a model version chose, so every version reads the
same trails. They are activity: recorded the moment an event is observed, flagged or not. What is
learned later changes no step that was taken.

Late events and repeated ids are given the trail they would have had and join none. A user's trail
costs at most ``SIZE`` bytes (320).

:func:`alone` gives the neutral trail: the event without anything before it. Explanations can weigh
what came before as one more player beside the features, ``recent_events``, by scoring both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Protocol, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from preprocessing.event import Action, AuthEvent, AuthKind
from preprocessing.history import CATEGORIES, FACTS
from preprocessing.values import Values

#: Changes whenever a step holds something else.
SCHEMA: Final = "trails-1"

#: Steps of a trail.
LENGTH: Final = 16

Trails = NDArray[np.uint8]
"""(n_events, LENGTH, WIDTH), oldest step first, the event itself last, zeros before the first."""

_KINDS: dict[tuple[str, str], int] = {
    pair: index for index, pair in enumerate(product(get_args(AuthKind), get_args(Action)), start=1)
}


@dataclass(frozen=True, slots=True)
class Field:
    """One byte of a step: ``1 + level``, levels in [0, ``levels``).

    ``ordered``: level 0 is ordinary and a higher level stranger. The others only tell kinds apart,
    or which events have the same of something.
    """

    name: str
    levels: int
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class _Measured:
    """A field whose level is ``floor(fact)``, or floor(log2(1 + fact / ``unit``))."""

    name: str
    fact: str
    levels: int
    unit: float = 0.0
    ordered: bool = True


#: Levels are whole bits, standard deviations or doublings; the last one is "this much or more".
_MEASURED: Final[tuple[_Measured, ...]] = (
    _Measured("hour", "hour_bits", 7),
    _Measured("country", "country_user_bits", 8),
    _Measured("network", "network_user_bits", 8),
    _Measured("device", "device_user_bits", 8),
    _Measured("resource", "resource_user_bits", 8),
    _Measured("agent", "agent_user_bits", 8),
    _Measured("method", "method_user_bits", 8),
    _Measured("habit", "kind_user_bits", 8),
    _Measured("tenant_resource", "resource_tenant_bits", 8),
    _Measured("bytes", "bytes_user_dev", 8),
    _Measured("away", "home_km", 7, unit=100.0),
    _Measured("failures", "user_failures_15m", 7, unit=1.0),
    _Measured("denials", "mfa_denials_15m", 5, unit=1.0),
    _Measured("rate", "events_1h", 7, unit=1.0),
    # Half a minute, and its doublings up to eleven days.
    _Measured("gap", "gap_s", 16, unit=30.0, ordered=False),
)
#: What tells kinds of events apart, and a byte of the CRC-32 of values that link events: two
#: values look the same once in 255.
_LINKS: Final = ("device", "network", "session")
FIELDS: Final[tuple[Field, ...]] = (
    *(Field(each.name, each.levels, each.ordered) for each in _MEASURED),
    Field("failed", 2),
    Field("kind", len(_KINDS), ordered=False),
    *(Field(f"{name}_link", 255, ordered=False) for name in _LINKS),
)
WIDTH: Final = len(FIELDS)
#: Bytes of a whole trail.
SIZE: Final = LENGTH * WIDTH

_COLUMNS: Final = np.array([FACTS.index(each.fact) for each in _MEASURED])
_LOGS: Final = np.array([index for index, each in enumerate(_MEASURED) if each.unit])
_UNITS: Final = np.array([each.unit for each in _MEASURED if each.unit])
_MOST: Final = np.array([each.levels - 1 for each in _MEASURED], np.float64)
_NETWORK, _DEVICE = CATEGORIES.index("network"), CATEGORIES.index("device")
_RATE: Final = [each.name for each in _MEASURED].index("rate")
_USUAL_RATE: Final = FACTS.index("usual_events_1h")


class HasTrail(Protocol):
    """Whoever a trail is kept for."""

    trail: bytes


def mark(event: AuthEvent, values: Values) -> bytes:
    """The bytes of a step that facts do not hold, from the event and its categorical values."""
    return bytes(
        (
            1 + (event.outcome == "failure"),
            _KINDS[event.auth_kind, event.action],
            _link(values[_DEVICE]),
            _link(values[_NETWORK]),
            _link(event.session_id),
        )
    )


def steps(facts: NDArray[np.float64], marks: bytes | bytearray) -> NDArray[np.uint8]:
    """Steps (n, WIDTH) of n events from their facts (n, len(FACTS)) and their marks, joined."""
    levels = facts[:, _COLUMNS]
    levels[:, _LOGS] = np.log2(1.0 + levels[:, _LOGS] / _UNITS)
    levels[:, _RATE] -= facts[:, _USUAL_RATE]
    np.clip(levels, 0.0, _MOST, out=levels)
    step = np.empty((len(facts), WIDTH), np.uint8)
    step[:, : len(_MEASURED)] = levels
    step[:, : len(_MEASURED)] += 1
    step[:, len(_MEASURED) :] = np.frombuffer(marks, np.uint8).reshape(-1, WIDTH - len(_MEASURED))
    return step


def follow(step: bytes, owners: Sequence[HasTrail], joining: Sequence[bool]) -> Trails:
    """The trail of each of n events whose steps (n * WIDTH bytes) are given, in order; those
    ``joining`` are part of their owner's trail from then on."""
    out = bytearray(len(owners) * SIZE)
    at = 0
    for index, (owner, joins) in enumerate(zip(owners, joining, strict=True), start=1):
        trail = (owner.trail + step[at : at + WIDTH])[-SIZE:]
        at += WIDTH
        end = index * SIZE
        out[end - len(trail) : end] = trail
        if joins:
            owner.trail = trail
    return np.frombuffer(out, np.uint8).reshape(-1, LENGTH, WIDTH)


def beside(step: bytes, owners: Sequence[HasTrail], joining: Sequence[bool]) -> Trails:
    """The same as :func:`follow`, and no trail is another one afterwards."""
    before = [owner.trail for owner in owners]
    trails = follow(step, owners, joining)
    for owner, trail in zip(owners, before, strict=True):
        owner.trail = trail
    return trails


def alone(trails: Trails) -> Trails:
    """The same events with nothing before them: the neutral trails, shape unchanged."""
    bare = np.zeros_like(trails)
    bare[:, -1] = trails[:, -1]
    return bare


def _link(value: str | None) -> int:
    return crc32(value.encode()) % 255 + 1 if value else 0
