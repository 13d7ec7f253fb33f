"""How each feature is computed from facts: functions of (facts, windows), column by column."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from preprocessing.accumulated import SIZE_UNIT
from preprocessing.geo import GEO_ACCURACY_KM, LEAST_TRAVEL_H
from preprocessing.history import FACTS
from preprocessing.windows import Windows

#: One unit of travel speed: an express train, km/h.
SPEED_UNIT_KMH = 200.0

Column = NDArray[np.float64]
Compute = Callable[[Column, Windows], Column]
_AT = {name: index for index, name in enumerate(FACTS)}
#: Bits from which a value counts as fully new in a conjunction.
NEW_BITS = 3.0
#: A factor that was changed longer ago than this, seconds, says little: a day.
FACTOR_S = 86400.0
#: The doubt about an unproven device fades over this time, seconds: two weeks.
UNPROVEN_S = 14 * 86400.0


def fact(name: str) -> Compute:
    index = _AT[name]
    return lambda facts, _: facts[:, index]


def log(name: str, unit: float = 1.0) -> Compute:
    """log2(1 + fact / unit)."""
    index = _AT[name]
    return lambda facts, _: np.log2(1.0 + facts[:, index] / unit)


def travel_km(facts: Column) -> Column:
    return np.maximum(0.0, facts[:, _AT["travel_km"]] - GEO_ACCURACY_KM)


def travel_speed(facts: Column, _: Windows) -> Column:
    """log2(1 + km/h / 200) of the least speed that explains the distance."""
    hours = np.maximum(facts[:, _AT["travel_s"]] / 3600.0, LEAST_TRAVEL_H)
    return np.log2(1.0 + travel_km(facts) / hours / SPEED_UNIT_KMH)


def dormancy(facts: Column, _: Windows) -> Column:
    """Doublings of a fortnight since the last event: a holiday is no dormant account."""
    fortnights = facts[:, _AT["gap_s"]] / (14 * 86400.0)
    return np.log2(np.maximum(1.0, fortnights))


def rate(facts: Column, _: Windows) -> Column:
    now = np.log2(1.0 + facts[:, _AT["events_1h"]])
    return np.maximum(0.0, now - facts[:, _AT["usual_events_1h"]])


def failures(facts: Column, windows: Windows) -> Column:
    """log2(1 + count) for a failure; a success in their wake has features of its own."""
    failed = 1.0 - facts[:, _AT["success"]]
    return np.log2(1.0 + facts[:, _AT[f"user_failures_{windows.failures}"]]) * failed


def failures_day(facts: Column, _: Windows) -> Column:
    failed = 1.0 - facts[:, _AT["success"]]
    return np.log2(1.0 + facts[:, _AT["user_failures_1d"]]) * failed


def per_regular(facts: Column, name: str) -> Column:
    """log2(1 + count / people who share the address): an office's typos are many people's."""
    regulars = np.maximum(1.0, facts[:, _AT["address_regulars"]])
    return np.log2(1.0 + facts[:, _AT[name]] / regulars) * (1.0 - facts[:, _AT["success"]])


def address_failures(facts: Column, windows: Windows) -> Column:
    return per_regular(facts, f"address_failures_{windows.address_failures}")


def success_after_failures(facts: Column, windows: Windows) -> Column:
    count = facts[:, _AT[f"user_failures_{windows.failures}"]]
    return np.log2(1.0 + count) * facts[:, _AT["success"]]


def success_at_guesser(facts: Column, windows: Windows) -> Column:
    window = windows.guesses
    regulars = np.maximum(1.0, facts[:, _AT["address_regulars"]])
    others = facts[:, _AT[f"address_failures_{window}"]] - facts[:, _AT[f"user_failures_{window}"]]
    return np.log2(1.0 + np.maximum(0.0, others) / regulars) * facts[:, _AT["success"]]


def denials(facts: Column, windows: Windows) -> Column:
    return np.log2(1.0 + facts[:, _AT[f"mfa_denials_{windows.denials}"]])


_NEW_RESOURCE = [_AT[f"resource_{who}_bits"] for who in ("user", "peer", "tenant")]


def new_resource(facts: Column) -> Column:
    """Bits of a resource that is no habit of the user."""
    fresh = facts[:, _AT["resource_tenant_bits"]] > 0
    return np.asarray(facts[:, _NEW_RESOURCE].sum(axis=1) * fresh)


def transferred(facts: Column) -> Column:
    return facts[:, _AT["bytes"]] / SIZE_UNIT


def accumulated(name: str, added: Callable[[Column], Column]) -> Compute:
    """Doublings of a sum, this event included, above what it usually is; 0 if it adds nothing."""
    past, usual = _AT[name], _AT[f"usual_{name}"]

    def compute(facts: Column, _: Windows) -> Column:
        now = added(facts)
        above = np.log2(1.0 + facts[:, past] + now) - facts[:, usual]
        return np.where(now > 0, np.maximum(0.0, above), 0.0)

    return compute


def others(name: str) -> Compute:
    """The rarer of both views, among peers and in the tenant."""
    peers, tenant = _AT[f"{name}_peer_bits"], _AT[f"{name}_tenant_bits"]
    return lambda facts, _: np.maximum(facts[:, peers], facts[:, tenant])


def _bits(facts: Column, name: str) -> Column:
    return facts[:, _AT[f"{name}_user_bits"]]


def _elsewhere(facts: Column) -> Column:
    """Bits of the network or the country, whichever is rarer for the user."""
    return np.maximum(_bits(facts, "network"), _bits(facts, "country"))


def new_device_elsewhere(facts: Column, _: Windows) -> Column:
    """A new device, or a new place, is often nothing; both at once is less often."""
    return np.minimum(_bits(facts, "device"), _elsewhere(facts))


def _stranger(facts: Column) -> Column:
    """How new device or place are to the user, in [0, 1]."""
    return np.minimum(1.0, np.maximum(_bits(facts, "device"), _elsewhere(facts)) / NEW_BITS)


def stranger_after_failures(facts: Column, _: Windows) -> Column:
    failed = np.log2(1.0 + facts[:, _AT["user_failures_1d"]])
    return failed * _stranger(facts) * facts[:, _AT["success"]]


def _unfaded(facts: Column) -> Column:
    """What is left of the doubt about an unproven device, in (0, 1]."""
    return np.asarray(np.exp(-facts[:, _AT["unproven_age_s"]] / UNPROVEN_S))


def stranger_after_silence(facts: Column, _: Windows) -> Column:
    return np.log2(1.0 + facts[:, _AT["unproven_silence_s"]] / (7 * 86400.0)) * _unfaded(facts)


def silence_broken(facts: Column, windows: Windows) -> Column:
    """Its product with log2(1 + events): a new phone after leave is proven before much happens."""
    events = np.log2(1.0 + facts[:, _AT["unproven_events"]])
    return stranger_after_silence(facts, windows) * events


def unproven(name: str) -> Compute:
    """log2(1 + sum) of what an unproven device did."""
    index = _AT[name]
    return lambda facts, _: np.log2(1.0 + facts[:, index]) * _unfaded(facts)


def stranger_after_factor(facts: Column, _: Windows) -> Column:
    """Fades with the time since the change."""
    new = np.maximum(_bits(facts, "device"), _elsewhere(facts))
    return new * np.exp(-facts[:, _AT["factor_age_s"]] / FACTOR_S)


def off_hours_transfer(facts: Column, _: Windows) -> Column:
    """Both the hour and the size must be strange."""
    return np.minimum(facts[:, _AT["hour_bits"]], facts[:, _AT["bytes_user_dev"]])


def service_interactive(facts: Column, _: Windows) -> Column:
    return facts[:, _AT["service_share"]] * (1.0 + _bits(facts, "kind"))


def spray(facts: Column, _: Windows) -> Column:
    users = np.log2(1.0 + facts[:, _AT["strange_failing_users_1h"]])
    return np.maximum(0.0, users - facts[:, _AT["usual_strange_failing_users"]])
