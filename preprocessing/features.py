"""``FEATURES``: what the detectors see of an event, and ``extract``, which computes it from facts.

Every feature is causal (computed from :class:`preprocessing.history.Facts`, that is, from what was
known just before the event), finite, >= 0, and oriented: 0 is ordinary, larger is stranger. All
are on a doubling scale (bits, log2 of a count, or standard deviations), so that one unit means
about the same surprise in each of them.

Some features count within a window of time. Which one, a model version chooses (:class:`Windows`)
among those that the history keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log2

import numpy as np
from numpy.typing import NDArray

from preprocessing import measures
from preprocessing.event import AuthEvent
from preprocessing.geo import FASTEST_KMH
from preprocessing.history import SHARED, Facts
from preprocessing.measures import SPEED_UNIT_KMH, Column, Compute
from preprocessing.windows import (
    DEFAULT_WINDOWS,
    UnknownWindow,
    Windows,
    kept_windows,
    needed_facts,
)

__all__ = [
    "CAP",
    "DEFAULT_WINDOWS",
    "FEATURES",
    "NAMES",
    "SCHEMA",
    "Feature",
    "FeatureBatch",
    "UnknownWindow",
    "Windows",
    "extract",
    "kept_windows",
    "measured",
    "needed_facts",
    "plain",
    "strangeness",
]

#: Changes whenever a feature is added, removed or computed differently.
SCHEMA = "features-5"

#: No feature exceeds this: a cap keeps one absurd value from silencing the others.
CAP = 25.0


@dataclass(frozen=True, slots=True)
class Feature:
    """One column: what it is, and at which value nobody would call the event ordinary.

    ``meaning`` says the default window; an asterisk after it: a model version may choose another.
    ``reason`` is the code in ensemble/reasons.py under which an analyst reads it.
    ``never_ordinary`` keeps plain attacks out of what detectors learn from; it decides no alert.
    It is a count where the feature is one, and stays so in every window: in a longer one it is
    reached sooner.
    """

    name: str
    family: str
    unit: str
    meaning: str
    reason: str
    compute: Compute
    never_ordinary: float = inf


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """``event_ids`` (n,), ``names`` (d,), ``values`` float32 (n, d), ``schema`` version."""

    event_ids: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    schema: str = SCHEMA


def _accumulated() -> list[Feature]:
    told = {
        "new": (
            "bits by which the user's resources were new",
            "many_new_resources",
            measures.new_resource,
        ),
        "bytes": ("the user's transferred bytes", "large_data_volume", measures.transferred),
    }
    return [
        Feature(f"{name}_{window}", "accumulated", "log2 ratio",
                f"{what}, summed over a {window}, against the usual sum", reason,
                measures.accumulated(f"{name}_{window}", added))
        for name, (what, reason, added) in told.items()
        for window in ("day", "week")
    ]  # fmt: skip


def _categories() -> list[Feature]:
    text = {
        "country": ("geographic", "country", "unusual_country"),
        "network": ("geographic", "ASN (or /16 network where no ASN is known)", "unusual_network"),
        "device": ("behavioural", "device", "unusual_device"),
        "resource": ("behavioural", "resource", "unusual_resource_access"),
        "address": ("behavioural", "source address", "unusual_network"),
        "agent": ("behavioural", "browser and system family", "unusual_device"),
        "method": ("access", "authentication method", "unusual_method"),
        "kind": ("access", "kind of session and action", "unusual_method"),
        "mfa": ("access", "presence or absence of a second factor", "unusual_mfa"),
    }
    features = []
    for name, (family, what, reason) in text.items():
        fact = f"{name}_user_bits"
        meaning = f"how much rarer this {what} is than the user's average one"
        features.append(Feature(fact, family, "bits", meaning, reason, measures.fact(fact)))
    for name in SHARED:
        family, what, reason = text[name]
        about = f"use this {what}, where it is no habit of the user"
        if name == "resource":  # that many use it elsewhere makes it no less strange among peers
            for who, whom in (("peer", "the user's peers"), ("tenant", "the tenant's users")):
                fact = f"{name}_{who}_bits"
                meaning = f"how few of {whom} {about}"
                features.append(Feature(fact, family, "bits", meaning, reason, measures.fact(fact)))
            continue
        meaning = f"how few of the user's peers, or of the tenant's users, {about}"
        features.append(
            Feature(f"{name}_others_bits", family, "bits", meaning, reason, measures.others(name))
        )
    return features


FEATURES: tuple[Feature, ...] = (
    Feature("hour_bits", "temporal", "bits", "rarity of this time of day for the user",
            "off_hours_login", measures.fact("hour_bits")),
    Feature("day_bits", "temporal", "bits", "rarity of this day of the week for the user",
            "off_hours_login", measures.fact("day_bits")),
    Feature("dormancy", "temporal", "log2 fortnights", "time since the user's last event",
            "dormant_account", measures.dormancy),
    Feature("rate", "temporal", "log2 ratio", "events of the last hour against the usual rate",
            "unusual_rate", measures.rate),
    Feature("travel_speed", "geographic", "log2 (1 + km/h / 200)",
            "least speed since the last good place", "impossible_travel", measures.travel_speed,
            log2(1 + FASTEST_KMH / SPEED_UNIT_KMH)),
    Feature("travel_distance", "geographic", "log2 (1 + km / 100)",
            "distance from the last good place", "impossible_travel",
            lambda facts, _: np.log2(1.0 + measures.travel_km(facts) / 100.0)),
    Feature("home_distance", "geographic", "log2 (1 + km / 100)",
            "distance from the nearest of the user's usual places", "unusual_country",
            measures.log("home_km", 100.0)),
    Feature("bytes_user", "behavioural", "standard deviations",
            "transferred bytes above the user's own log-scale mean", "large_data_transfer",
            measures.fact("bytes_user_dev"), 10.0),
    Feature("bytes_tenant", "behavioural", "standard deviations",
            "transferred bytes above the tenant's log-scale mean", "large_data_transfer",
            measures.fact("bytes_tenant_dev")),
    Feature("bytes_drift", "behavioural", "standard deviations",
            "how much larger a transfer is against the user's long memory than against the short",
            "large_data_transfer", measures.fact("bytes_drift_dev")),
    *_categories(),
    Feature("session_device", "session", "bits", "the session began on another device",
            "session_moved", measures.fact("session_device")),
    Feature("session_agent", "session", "bits", "the session began with another agent",
            "session_moved", measures.fact("session_agent")),
    Feature("session_network", "session", "bits", "the session began in another network",
            "session_moved", measures.fact("session_network")),
    *_accumulated(),
    Feature("new_device_elsewhere", "campaign", "bits",
            "a new device in a new network or country: the lesser of both rarities",
            "new_device_elsewhere", measures.new_device_elsewhere),
    Feature("stranger_after_failures", "campaign", "log2 (1 + count)",
            "at a success from a new device or place: the user's failures in a day",
            "brute_force_success", measures.stranger_after_failures),
    Feature("stranger_after_silence", "campaign", "log2 (1 + weeks)",
            "from an unproven device: how long the user had been silent when it appeared",
            "dormant_account", measures.stranger_after_silence),
    Feature("silence_broken", "campaign", "log2 (1 + weeks) log2 (1 + count)",
            "that silence times the events of the unproven device within a week",
            "dormant_account", measures.silence_broken),
    Feature("unproven_hours", "campaign", "log2 (1 + bits)",
            "bits by which the hours of an unproven device's events were rare, summed over a week",
            "unproven_device", measures.unproven("unproven_hour_bits")),
    Feature("unproven_resources", "campaign", "log2 (1 + bits)",
            "bits by which resources were new on an unproven device, summed over a week",
            "unproven_device", measures.unproven("unproven_new_bits")),
    Feature("unproven_bytes", "campaign", "log2 (1 + deviations)",
            "deviations of bytes transferred by an unproven device, summed over a week",
            "unproven_device", measures.unproven("unproven_bytes_dev")),
    Feature("unproven_events", "campaign", "log2 (1 + count)",
            "events of an unproven device, summed over a week", "unproven_device",
            measures.unproven("unproven_events")),
    Feature("scattered_resources", "campaign", "log2 (1 + groups)",
            "groups without common users whose resources this user began to use within a week",
            "scattered_resources", measures.log("scattered_resources")),
    Feature("stranger_after_factor", "campaign", "bits",
            "rarity of device or place within about a day of a changed second factor",
            "factor_changed", measures.stranger_after_factor),
    Feature("off_hours_transfer", "campaign", "bits or deviations",
            "a large transfer at a strange hour: the lesser of both", "off_hours_transfer",
            measures.off_hours_transfer),
    Feature("service_interactive", "campaign", "bits",
            "an interactive event of a kind new to an account, by the share of its events that "
            "were a service's", "service_interactive", measures.service_interactive),
    Feature("distributed_spray", "campaign", "log2 ratio",
            "at a failure in a network new to its user: users failing like this in 1 h, against "
            "the usual", "password_spraying", measures.spray),
    Feature("user_failures", "failure", "log2 (1 + count)",
            "at a failure: the user's other failures in 15 minutes*", "multiple_failed_logins",
            measures.failures, log2(1 + 10)),
    Feature("user_failures_day", "failure", "log2 (1 + count)",
            "at a failure: the user's other failures in a day", "multiple_failed_logins",
            measures.failures_day, log2(1 + 30)),
    Feature("address_failures", "failure", "log2 (1 + count per regular user)",
            "at a failure: others from its address in 15 minutes*", "failures_from_address",
            measures.address_failures, log2(1 + 15)),
    Feature("address_failures_day", "failure", "log2 (1 + count per regular user)",
            "at a failure: others from its address in a day", "failures_from_address",
            lambda facts, _: measures.per_regular(facts, "address_failures_1d"), log2(1 + 40)),
    Feature("address_failing_users", "failure", "log2 (1 + users per regular user)",
            "at a failure: users failing from its address in 1 h", "password_spraying",
            lambda facts, _: measures.per_regular(facts, "address_failing_users_1h"), log2(1 + 8)),
    Feature("success_after_failures", "failure", "log2 (1 + count)",
            "at a success: the user's failures in 15 minutes*", "brute_force_success",
            measures.success_after_failures, log2(1 + 8)),
    Feature("success_at_guesser", "failure", "log2 (1 + count per regular user)",
            "at a success: others' failures from its address in a day*", "brute_force_success",
            measures.success_at_guesser, log2(1 + 20)),
    Feature("reported_attempts", "failure", "log2 (1 + count)",
            "failed attempts as told by the source", "multiple_failed_logins",
            measures.log("reported_attempts"), log2(1 + 10)),
    Feature("outcome_bits", "failure", "bits", "rarity of a failure for the user",
            "multiple_failed_logins", measures.fact("outcome_bits")),
    Feature("user_new", "failure", "bits", "rarity of a user without any learned success",
            "unknown_user", measures.fact("user_new_bits")),
    Feature("mfa_denials", "access", "log2 (1 + count)",
            "second-factor denials of the user in the last 15 minutes*", "mfa_fatigue",
            measures.denials, log2(1 + 5)),
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
_NEVER_ORDINARY: NDArray[np.float32] = np.array(
    [feature.never_ordinary for feature in FEATURES], np.float32
)
_OWN: NDArray[np.bool_] = np.array(
    [
        feature.family not in {"accumulated", "campaign"}
        and not feature.name.endswith(("_peer_bits", "_tenant_bits", "_others_bits"))
        for feature in FEATURES
    ]
)


def extract(
    events: Sequence[AuthEvent], facts: Facts, windows: Windows = DEFAULT_WINDOWS
) -> FeatureBatch:
    """Features of n events from their facts: float32 (n, len(FEATURES)), finite, in [0, CAP].

    Whether the history keeps these windows, :func:`needed_facts` tells beforehand.
    """
    values = measured(facts.values, windows)
    return FeatureBatch(tuple(event.event_id for event in events), NAMES, values)


def measured(facts: Column, windows: Windows) -> NDArray[np.float32]:
    """The same from the values of facts (n, len(FACTS)) alone."""
    values = np.empty((len(facts), len(FEATURES)), np.float32)
    for index, feature in enumerate(FEATURES):
        values[:, index] = feature.compute(facts, windows)
    np.clip(values, 0.0, CAP, out=values)
    return values


def plain(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Rows (n,) of feature values (n, d) without one that is never ordinary."""
    return np.asarray((values < _NEVER_ORDINARY).all(axis=1))


def strangeness(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Plain sum (n,) of feature values (n, d), each thing that is strange once: what peers and
    the tenant say of a value, or sums over time say again, is left out."""
    return np.asarray(values[:, _OWN].sum(axis=1, dtype=np.float64))
