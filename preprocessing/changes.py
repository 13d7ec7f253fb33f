"""What could have been otherwise about an event, and which facts follow from it.

A counterfactual asks of a flagged event: would it have stayed quiet from a known device? A *change*
replaces one thing that is up to whoever acts by this user's usual value; the facts that depend on
it become those of the usual event (:mod:`preprocessing.typical`), all others stay as they were.
Every fact of ``history.FACTS`` belongs to exactly one change or is declared immutable here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from preprocessing.accumulated import SUMS
from preprocessing.event import AuthEvent
from preprocessing.history import CATEGORIES, FACTS

Change = Literal["device", "place", "time", "resource", "size", "method", "mfa"]
CHANGES: tuple[Change, ...] = get_args(Change)

#: Facts that describe the value of a category are named ``<category>_..._bits`` and belong to its
#: change. What was done (``kind``) is the event itself and no circumstance of it.
CATEGORY_CHANGES: dict[str, Change | None] = {
    "country": "place",
    "network": "place",
    "address": "place",
    "device": "device",
    "agent": "device",
    "resource": "resource",
    "method": "method",
    "mfa": "mfa",
    "kind": None,
}

_OTHERS: dict[Change, tuple[str, ...]] = {
    "time": ("hour_bits", "day_bits"),
    "place": (
        "travel_km", "travel_s", "home_km", "address_regulars",
        "address_failures_15m", "address_failures_1h", "address_failures_1d",
        "address_failing_users_1h", "session_network",
    ),
    "size": ("bytes", "bytes_user_dev", "bytes_tenant_dev", "bytes_drift_dev"),
    "device": (
        "session_device", "session_agent", "unproven_age_s", "unproven_silence_s",
        "unproven_hour_bits", "unproven_new_bits", "unproven_bytes_dev", "unproven_events",
    ),
    "resource": ("scattered_resources",),
}  # fmt: skip

#: Who it was, how it ended, and what had happened before: nobody could have chosen them
#: differently at the moment of the event.
IMMUTABLE: frozenset[str] = frozenset({
    "gap_s", "events_1h", "usual_events_1h", "user_failures_15m", "user_failures_1h",
    "user_failures_1d", "mfa_denials_15m", "mfa_denials_1h", "reported_attempts", "outcome_bits",
    "user_new_bits", "success", "learned", "service_share", "factor_age_s",
    "strange_failing_users_1h", "usual_strange_failing_users",
    *SUMS, *(f"usual_{name}" for name in SUMS),
})  # fmt: skip


#: Fields of an event that each change replaces.
FIELDS: dict[Change, tuple[str, ...]] = {
    "device": ("device_id", "user_agent"),
    "place": ("country", "city", "latitude", "longitude", "asn", "source_ip"),
    "time": ("timestamp",),
    "resource": ("resource",),
    "size": ("bytes_transferred",),
    "method": ("auth_method",),
    "mfa": ("mfa",),
}


def change_of(fact: str) -> Change | None:
    """The change a fact belongs to, None if it is immutable; KeyError if it is listed nowhere.

    >>> change_of("device_user_bits"), change_of("travel_km"), change_of("success")
    ('device', 'place', None)
    """
    if fact in IMMUTABLE:
        return None
    for change, facts in _OTHERS.items():
        if fact in facts:
            return change
    for category in CATEGORIES:
        if fact.startswith(f"{category}_") and fact.endswith("_bits"):
            return CATEGORY_CHANGES[category]
    raise KeyError(f"fact {fact} belongs to no change and is not declared immutable")


_CHANGE_OF = [change_of(fact) for fact in FACTS]
#: Columns of ``FACTS`` that each change replaces.
COLUMNS: dict[Change, NDArray[np.intp]] = {
    change: np.array([at for at, of in enumerate(_CHANGE_OF) if of == change], np.intp)
    for change in CHANGES
}


def changed_event(event: AuthEvent, typical: AuthEvent, changes: Iterable[Change]) -> AuthEvent:
    """The event after some changes; ``typical`` is as its user usually makes it.

    Another device has a session of its own, so none is named then.
    """
    values = {name: getattr(typical, name) for change in changes for name in FIELDS[change]}
    if "device_id" in values:
        values["session_id"] = None
    return msgspec.structs.replace(event, **values)


def changed(
    facts: NDArray[np.float64], typical: NDArray[np.float64], changes: Iterable[Change]
) -> NDArray[np.float64]:
    """The facts (len(FACTS),) of one event after some changes; ``typical`` is as long."""
    out = facts.copy()
    for change in changes:
        out[COLUMNS[change]] = typical[COLUMNS[change]]
    return out
