"""``FEATURES``: what the detectors see of an event, and ``extract``, which computes it from facts.

Every feature is causal (computed from :class:`preprocessing.history.Facts`, that is, from what was
known just before the event), finite, >= 0, and oriented: 0 is ordinary, larger is stranger. All
are on a doubling scale (bits, log2 of a count, or standard deviations), so that one unit means
about the same surprise in each of them.

Some features count within a window of time. Which one, a model version chooses (:class:`Windows`)
among those that the history keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log2

import msgspec
import numpy as np
from numpy.typing import NDArray

from preprocessing.event import AuthEvent
from preprocessing.geo import FASTEST_KMH, GEO_ACCURACY_KM, LEAST_TRAVEL_H
from preprocessing.history import FACTS, SHARED, Facts

#: Changes whenever a feature is added, removed or computed differently.
SCHEMA = "features-2"

#: No feature exceeds this: a cap keeps one absurd value from silencing the others.
CAP = 25.0

#: One unit of travel speed: an express train, km/h.
SPEED_UNIT_KMH = 200.0

Column = NDArray[np.float64]
_AT = {name: index for index, name in enumerate(FACTS)}


class Windows(msgspec.Struct, frozen=True):
    """Windows of time within which features count: ``15m``, ``1h`` or ``1d``.

    ``failures`` of a user (``user_failures``, ``success_after_failures``), ``address_failures``
    (the feature of that name), ``guesses`` at others from an address (``success_at_guesser``), and
    ``denials`` of a second factor (``mfa_denials``). Defaults: fifteen minutes is the window of
    the published brute-force rules (Elastic, Sigma), a day catches a patient guesser.
    """

    failures: str = "15m"
    address_failures: str = "15m"
    guesses: str = "1d"
    denials: str = "15m"


DEFAULT_WINDOWS = Windows()

#: Facts behind each window, named as in ``history.FACTS`` but for the ending.
_COUNTED: dict[str, tuple[str, ...]] = {
    "failures": ("user_failures",),
    "address_failures": ("address_failures",),
    "guesses": ("address_failures", "user_failures"),
    "denials": ("mfa_denials",),
}


class UnknownWindow(ValueError):
    """A window within which the history does not count."""

    def __init__(self, name: str, window: str) -> None:
        self.name = name
        self.window = window
        self.kept = kept_windows(name)
        super().__init__(
            f"feature window {name}: expected one that the history keeps, "
            f"{' or '.join(self.kept)}, got {window!r}"
        )


def kept_windows(name: str) -> tuple[str, ...]:
    """The windows that a field of :class:`Windows` may have, the shortest first.

    >>> kept_windows("denials")
    ('15m', '1h')
    """
    first, *others = _COUNTED[name]
    ends = [fact.removeprefix(f"{first}_") for fact in FACTS if fact.startswith(f"{first}_")]
    kept = [end for end in ends if all(f"{other}_{end}" in _AT for other in others)]
    return tuple(sorted(kept, key=lambda end: ("mhd".index(end[-1]), int(end[:-1]))))


def needed_facts(windows: Windows) -> frozenset[str]:
    """Facts that features in these windows count by; raises :class:`UnknownWindow` for one that
    the history lacks."""
    needed = set()
    for name, facts in _COUNTED.items():
        window = getattr(windows, name)
        wanted = {f"{fact}_{window}" for fact in facts}
        if not wanted <= _AT.keys():
            raise UnknownWindow(name, window)
        needed |= wanted
    return frozenset(needed)


Compute = Callable[[Column, Windows], Column]


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


def _fact(name: str) -> Compute:
    index = _AT[name]
    return lambda facts, _: facts[:, index]


def _log(name: str, unit: float = 1.0) -> Compute:
    """log2(1 + fact / unit)."""
    index = _AT[name]
    return lambda facts, _: np.log2(1.0 + facts[:, index] / unit)


def _travel_km(facts: Column) -> Column:
    return np.maximum(0.0, facts[:, _AT["travel_km"]] - GEO_ACCURACY_KM)


def _travel_speed(facts: Column, _: Windows) -> Column:
    """log2(1 + km/h / 200) of the least speed that explains the distance."""
    hours = np.maximum(facts[:, _AT["travel_s"]] / 3600.0, LEAST_TRAVEL_H)
    return np.log2(1.0 + _travel_km(facts) / hours / SPEED_UNIT_KMH)


def _dormancy(facts: Column, _: Windows) -> Column:
    """Doublings of a fortnight since the last event: a holiday is no dormant account."""
    fortnights = facts[:, _AT["gap_s"]] / (14 * 86400.0)
    return np.log2(np.maximum(1.0, fortnights))


def _rate(facts: Column, _: Windows) -> Column:
    now = np.log2(1.0 + facts[:, _AT["events_1h"]])
    return np.maximum(0.0, now - facts[:, _AT["usual_events_1h"]])


def _failures(facts: Column, windows: Windows) -> Column:
    """log2(1 + count) for a failure; a success in their wake has features of its own."""
    failed = 1.0 - facts[:, _AT["success"]]
    return np.log2(1.0 + facts[:, _AT[f"user_failures_{windows.failures}"]]) * failed


def _failures_day(facts: Column, _: Windows) -> Column:
    failed = 1.0 - facts[:, _AT["success"]]
    return np.log2(1.0 + facts[:, _AT["user_failures_1d"]]) * failed


def _per_regular(facts: Column, name: str) -> Column:
    """log2(1 + count / people who share the address): an office's typos are many people's."""
    regulars = np.maximum(1.0, facts[:, _AT["address_regulars"]])
    return np.log2(1.0 + facts[:, _AT[name]] / regulars) * (1.0 - facts[:, _AT["success"]])


def _address_failures(facts: Column, windows: Windows) -> Column:
    return _per_regular(facts, f"address_failures_{windows.address_failures}")


def _success_after_failures(facts: Column, windows: Windows) -> Column:
    count = facts[:, _AT[f"user_failures_{windows.failures}"]]
    return np.log2(1.0 + count) * facts[:, _AT["success"]]


def _success_at_guesser(facts: Column, windows: Windows) -> Column:
    window = windows.guesses
    regulars = np.maximum(1.0, facts[:, _AT["address_regulars"]])
    others = facts[:, _AT[f"address_failures_{window}"]] - facts[:, _AT[f"user_failures_{window}"]]
    return np.log2(1.0 + np.maximum(0.0, others) / regulars) * facts[:, _AT["success"]]


def _denials(facts: Column, windows: Windows) -> Column:
    return np.log2(1.0 + facts[:, _AT[f"mfa_denials_{windows.denials}"]])


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
        features.append(Feature(fact, family, "bits", meaning, reason, _fact(fact)))
    for name in SHARED:
        family, what, reason = text[name]
        for who, whom in (("peer", "of the user's peers"), ("tenant", "of the tenant's users")):
            fact = f"{name}_{who}_bits"
            meaning = f"how few {whom} use this {what}, where it is no habit of the user"
            features.append(Feature(fact, family, "bits", meaning, reason, _fact(fact)))
    return features


FEATURES: tuple[Feature, ...] = (
    Feature("hour_bits", "temporal", "bits", "rarity of this time of day for the user",
            "off_hours_login", _fact("hour_bits")),
    Feature("day_bits", "temporal", "bits", "rarity of this day of the week for the user",
            "off_hours_login", _fact("day_bits")),
    Feature("dormancy", "temporal", "log2 fortnights", "time since the user's last event",
            "dormant_account", _dormancy),
    Feature("rate", "temporal", "log2 ratio", "events of the last hour against the usual rate",
            "unusual_rate", _rate),
    Feature("travel_speed", "geographic", "log2 (1 + km/h / 200)",
            "least speed since the last good place", "impossible_travel", _travel_speed,
            log2(1 + FASTEST_KMH / SPEED_UNIT_KMH)),
    Feature("travel_distance", "geographic", "log2 (1 + km / 100)",
            "distance from the last good place", "impossible_travel",
            lambda facts, _: np.log2(1.0 + _travel_km(facts) / 100.0)),
    Feature("home_distance", "geographic", "log2 (1 + km / 100)",
            "distance from the nearest of the user's usual places", "unusual_country",
            _log("home_km", 100.0)),
    Feature("bytes_user", "behavioural", "standard deviations",
            "transferred bytes above the user's own log-scale mean", "large_data_transfer",
            _fact("bytes_user_dev"), 10.0),
    Feature("bytes_tenant", "behavioural", "standard deviations",
            "transferred bytes above the tenant's log-scale mean", "large_data_transfer",
            _fact("bytes_tenant_dev")),
    *_categories(),
    Feature("user_failures", "failure", "log2 (1 + count)",
            "at a failure: the user's other failures in 15 minutes*", "multiple_failed_logins",
            _failures, log2(1 + 10)),
    Feature("user_failures_day", "failure", "log2 (1 + count)",
            "at a failure: the user's other failures in a day", "multiple_failed_logins",
            _failures_day, log2(1 + 30)),
    Feature("address_failures", "failure", "log2 (1 + count per regular user)",
            "at a failure: others from its address in 15 minutes*", "failures_from_address",
            _address_failures, log2(1 + 15)),
    Feature("address_failures_day", "failure", "log2 (1 + count per regular user)",
            "at a failure: others from its address in a day", "failures_from_address",
            lambda facts, _: _per_regular(facts, "address_failures_1d"), log2(1 + 40)),
    Feature("address_failing_users", "failure", "log2 (1 + users per regular user)",
            "at a failure: users failing from its address in 1 h", "password_spraying",
            lambda facts, _: _per_regular(facts, "address_failing_users_1h"), log2(1 + 8)),
    Feature("success_after_failures", "failure", "log2 (1 + count)",
            "at a success: the user's failures in 15 minutes*", "brute_force_success",
            _success_after_failures, log2(1 + 8)),
    Feature("success_at_guesser", "failure", "log2 (1 + count per regular user)",
            "at a success: others' failures from its address in a day*", "brute_force_success",
            _success_at_guesser, log2(1 + 20)),
    Feature("reported_attempts", "failure", "log2 (1 + count)",
            "failed attempts as told by the source", "multiple_failed_logins",
            _log("reported_attempts"), log2(1 + 10)),
    Feature("outcome_bits", "failure", "bits", "rarity of a failure for the user",
            "multiple_failed_logins", _fact("outcome_bits")),
    Feature("user_new", "failure", "bits", "rarity of a user without any learned success",
            "unknown_user", _fact("user_new_bits")),
    Feature("mfa_denials", "access", "log2 (1 + count)",
            "second-factor denials of the user in the last 15 minutes*", "mfa_fatigue",
            _denials, log2(1 + 5)),
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
_NEVER_ORDINARY: NDArray[np.float32] = np.array(
    [feature.never_ordinary for feature in FEATURES], np.float32
)
_OWN: NDArray[np.bool_] = np.array(
    [not feature.name.endswith(("_peer_bits", "_tenant_bits")) for feature in FEATURES]
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
