"""``Alert``: what an analyst is told of one user or one address, and what makes two alerts one.

Events join an alert by its *subject*: the user; for failures at many accounts the address they
come from, or the wave they are part of (alerting/subjects.py). What is already known of a subject
is told by its *fingerprints*: subject and family of the main reason. An event with a fingerprint
that was told before is no news; it only counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from ensemble.verdict import Reason, Severity, Verdict
from preprocessing.event import AuthEvent

#: Mildest first.
SEVERITY_ORDER: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")
_RANK = {severity: rank for rank, severity in enumerate(SEVERITY_ORDER)}

#: Reasons that tell an analyst the same story in other words. A code that is not here is a family
#: of its own.
FAMILIES: dict[str, str] = {
    "impossible_travel": "place",
    "unusual_country": "place",
    "unusual_network": "place",
    "unusual_device": "device",
    "new_device_elsewhere": "device",
    "unusual_method": "method",
    "unusual_mfa": "method",
    "off_hours_login": "time",
    "dormant_account": "time",
    "unusual_rate": "volume",
    "large_data_transfer": "volume",
    "large_data_volume": "volume",
    "off_hours_transfer": "volume",
    "unusual_resource_access": "resource",
    "many_new_resources": "resource",
    "scattered_resources": "resource",
    "unproven_device": "device",
    "service_interactive": "service",
    "session_moved": "session",
    "factor_changed": "factor",
    "known_attacker": "attacker",
    "multiple_failed_logins": "guessing",
    "failures_from_address": "guessing",
    "password_spraying": "guessing",
    "unknown_user": "guessing",
    "brute_force_success": "takeover",
    "mfa_fatigue": "takeover",
    "unusual_combination": "combination",
}

#: Users and addresses listed in an alert.
MOST_LISTED = 50
#: An attack on this many accounts is news again, and one degree more severe.
GROWTH: tuple[int, ...] = (10, 50)
#: An attack of this many events is news again, and whenever it has doubled since.
LENGTHS: tuple[int, ...] = tuple(25 * 2**power for power in range(20))
#: The subject of failures at many accounts from many addresses.
WAVE = "wave:failures"


class Occurrence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One suspicious event in an alert's chain.

    ``at_s`` is when it happened, seconds since the epoch; ``severity`` is the verdict's, or what
    the rules made of it. ``event`` is absent when only the verdict is known. ``traceparent`` is the
    W3C trace context of the request that brought the event, empty if there was none.
    """

    verdict: Verdict
    at_s: float
    severity: Severity
    event: AuthEvent | None = None
    traceparent: str = ""

    @property
    def main(self) -> Reason | None:
        """The reason with the largest weight."""
        return self.verdict.reasons[0] if self.verdict.reasons else None

    @property
    def address(self) -> str:
        """Where it came from, empty if unknown."""
        return (self.event.source_ip or "") if self.event is not None else ""

    @property
    def succeeded(self) -> bool | None:
        """Whether the event itself succeeded; None if only the verdict is known."""
        return None if self.event is None else self.event.outcome == "success"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the analyst's queue; its events are its chain, kept beside it.

    Times are seconds since the epoch: ``first_at_s`` and ``last_at_s`` of the events, the others of
    our own clock. ``event_severity`` is that of the worst event, ``severity`` that of the whole.
    ``lead`` is the event with the highest score. ``reasons`` counts events by main
    reason, ``successes`` those that succeeded. ``fresh`` are fingerprints that nobody was told of
    yet, ``notify_s`` is when that is to be considered (None: not before the next event).
    ``revision`` counts tellings; ``held`` says why the alert was not told the last time, empty if
    it was.
    """

    alert_id: str
    subject: str
    severity: Severity
    event_severity: Severity
    lead: Occurrence
    reasons: dict[str, int]
    fingerprints: tuple[str, ...]
    users: tuple[str, ...]
    addresses: tuple[str, ...]
    first_at_s: float
    last_at_s: float
    opened_s: float
    updated_s: float
    events: int
    successes: int = 0
    fresh: tuple[str, ...] = ()
    notify_s: float | None = None
    told_s: float | None = None
    revision: int = 0
    held: str = ""
    acknowledged_by: str = ""
    acknowledged_s: float | None = None
    note: str = ""
    traceparent: str = ""

    @property
    def status(self) -> str:
        """``open`` or ``acknowledged``."""
        return "acknowledged" if self.acknowledged_s is not None else "open"

    @property
    def who(self) -> str:
        """The user, the address with how many users it tried, or how many of both."""
        kind, _, name = self.subject.partition(":")
        if kind == "user":
            return name
        users = _several(self.users, "user")
        if kind == "address":
            return f"{name} ({users})"
        return f"{users} from {_several(self.addresses, 'address', 'addresses')}"


def rank(severity: Severity) -> int:
    """0 for ``info`` to 4 for ``critical``."""
    return _RANK[severity]


def worst(severities: Iterable[Severity]) -> Severity:
    """The most severe of at least one."""
    return max(severities, key=rank)


def raised(severity: Severity, degrees: int) -> Severity:
    """The severity so many degrees higher, ``critical`` at most.

    >>> raised("low", 2), raised("high", 5)
    ('high', 'critical')
    """
    return SEVERITY_ORDER[min(rank(severity) + degrees, len(SEVERITY_ORDER) - 1)]


def family(code: str) -> str:
    """The family of a reason code.

    >>> family("unusual_country"), family("something_new")
    ('place', 'something_new')
    """
    return FAMILIES.get(code, code)


def fingerprint(subject: str, verdict: Verdict) -> str:
    """What is the same news: SHA-256 over subject and family of the main reason, 16 hex digits.

    Of an attack on many accounts every failure is the same news. Stable across processes, versions
    and restarts; never Python's ``hash``.
    """
    if not subject.startswith("user:"):
        return _digest(subject, "guessing")
    main = verdict.reasons[0].code if verdict.reasons else ""
    return _digest(subject, family(main))


def growth(subject: str, *, users: int, events: int) -> tuple[str, ...]:
    """Fingerprints of the sizes that an attack on many accounts has reached."""
    if subject.startswith("user:"):
        return ()
    sizes = [f"{mark} users" for mark in GROWTH if users >= mark]
    sizes += [f"{mark} events" for mark in LENGTHS if events >= mark]
    return tuple(_digest(subject, size) for size in sizes)


def degrees(subject: str, *, fingerprints: int, users: int) -> int:
    """How much more severe the whole is than its worst event: by one for every further family of
    reasons, of an attack on many accounts by one for every mark of ``GROWTH`` reached."""
    if subject.startswith("user:"):
        return fingerprints - 1
    return sum(users >= mark for mark in GROWTH)


def alert_id(subject: str, first_event_id: str) -> str:
    """The id of the alert that an event opens: the same event always opens the same alert."""
    return _digest("alert", subject, first_event_id)


def listed(known: tuple[str, ...], name: str) -> tuple[str, ...]:
    """``known`` with one more name, up to :data:`MOST_LISTED`."""
    if not name or name in known or len(known) >= MOST_LISTED:
        return known
    return (*known, name)


def _several(names: tuple[str, ...], one: str, many: str = "") -> str:
    more = "+" if len(names) >= MOST_LISTED else ""
    return f"{len(names)}{more} {one if len(names) == 1 else many or one + 's'}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
