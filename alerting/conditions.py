"""Conditions: what rules, routes and silences ask of an event or an alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, field_validator

from alerting.alert import MOST_LISTED, Alert, Occurrence, rank
from alerting.strict import Strict, TimeOfDay, unknown
from ensemble.reasons import REASONS
from ensemble.verdict import Severity

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _reason(code: str) -> str:
    if code not in REASONS:
        raise ValueError(unknown(code, list(REASONS)))
    return code


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError("expected an address or network such as 192.0.2.0/24") from None


ReasonCode = Annotated[str, AfterValidator(_reason)]
Network = Annotated[str, AfterValidator(_network)]
#: A user name in which ``*`` stands for anything.
Pattern = Annotated[str, Field(min_length=1, max_length=256)]


class Times(Strict):
    """Hours of the week, such as office hours. ``from`` later than ``until`` spans midnight."""

    days: tuple[Day, ...] = DAYS
    start: TimeOfDay = Field(default=0, alias="from")
    until: TimeOfDay = 24 * 60
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            _zone_of(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("expected a time zone such as Europe/Berlin that this machine's tz "
                             "database knows, or UTC") from None  # fmt: skip
        return name

    def covers(self, at_s: float) -> bool:
        """Whether an instant lies within; a span over midnight belongs to the day it begins."""
        local = datetime.fromtimestamp(at_s, _zone_of(self.zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.until:
            return DAYS[day] in self.days and self.start <= minute < self.until
        if minute >= self.start:
            return DAYS[day] in self.days
        return minute < self.until and DAYS[day - 1] in self.days


class Condition(Strict):
    """All that is given must hold; nothing given always holds."""

    severity_at_least: Severity | None = None
    severity_below: Severity | None = None
    score_below: float | None = Field(default=None, gt=0, lt=1)
    reasons: tuple[ReasonCode, ...] = ()
    """Any of these is among the reasons."""
    users: tuple[Pattern, ...] = ()
    """Any user matches any of these; ``*`` stands for anything."""
    groups: tuple[str, ...] = ()
    """Any user belongs to any of these groups."""
    not_groups: tuple[str, ...] = ()
    """No user belongs to any of these groups."""
    addresses: tuple[Network, ...] = ()
    """Any address lies in any of these networks."""
    during: str | None = None
    """A name under ``times``."""
    outside: str | None = None
    """A name under ``times``."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions are asked about: one event, or an alert as a whole."""

    severity: Severity
    score: float
    reasons: frozenset[str]
    main_reasons: frozenset[str]
    """The main reason of the event, or of every event of the alert."""
    users: tuple[str, ...]
    addresses: tuple[str, ...]
    at_s: float


class Matcher:
    """Answers conditions, knowing the groups and times they name."""

    def __init__(self, groups: Mapping[str, tuple[str, ...]], times: Mapping[str, Times]) -> None:
        self._groups = groups
        self._times = times

    def holds(self, condition: Condition, facts: Facts, *, every: bool = False) -> bool:
        """Whether everything the condition asks for is so.

        With ``every`` all users, addresses and main reasons must match, not only any: who silences
        one user does not silence an attack on thirty, and who silences odd hours does not silence
        the takeover that happens at night.
        """
        quantify = _all if every else _any
        return (
            _severe(condition, facts)
            and self._when(condition, facts.at_s)
            and (not condition.reasons or _told(condition.reasons, facts, every=every))
            and (not condition.users or quantify(_matches(condition.users), facts.users))
            and (not condition.groups or quantify(self._in(condition.groups), facts.users))
            and not any(map(self._in(condition.not_groups), facts.users))
            and (not condition.addresses or quantify(_within(condition.addresses), facts.addresses))
        )

    def _in(self, groups: tuple[str, ...]) -> Callable[[str], bool]:
        return _matches([pattern for name in groups for pattern in self._groups.get(name, ())])

    def _when(self, condition: Condition, at_s: float) -> bool:
        if condition.during is not None and not self._times[condition.during].covers(at_s):
            return False
        return condition.outside is None or not self._times[condition.outside].covers(at_s)


def facts_of_event(occurrence: Occurrence) -> Facts:
    """Facts of one event, at the time it happened."""
    verdict = occurrence.verdict
    return Facts(
        severity=occurrence.severity,
        score=verdict.score,
        reasons=frozenset(reason.code for reason in verdict.reasons),
        main_reasons=frozenset(reason.code for reason in verdict.reasons[:1]),
        users=(verdict.user_id,),
        addresses=(occurrence.address,) if occurrence.address else (),
        at_s=occurrence.at_s,
    )


def facts_of_alert(alert: Alert, now_s: float) -> Facts:
    """Facts of an alert, at the time it is told."""
    codes = {reason.code for reason in alert.lead.verdict.reasons}
    return Facts(
        severity=alert.severity,
        score=alert.lead.verdict.score,
        reasons=frozenset(codes | alert.reasons.keys()),
        main_reasons=frozenset(alert.reasons),
        users=alert.users,
        addresses=alert.addresses,
        at_s=now_s,
    )


def _severe(condition: Condition, facts: Facts) -> bool:
    least, below = condition.severity_at_least, condition.severity_below
    if least is not None and rank(facts.severity) < rank(least):
        return False
    if below is not None and rank(facts.severity) >= rank(below):
        return False
    return condition.score_below is None or facts.score < condition.score_below


def _told(codes: tuple[str, ...], facts: Facts, *, every: bool) -> bool:
    if every:
        return facts.main_reasons.issubset(codes)
    return not facts.reasons.isdisjoint(codes)


def _any(matches: Callable[[str], bool], names: tuple[str, ...]) -> bool:
    return any(map(matches, names))


def _all(matches: Callable[[str], bool], names: tuple[str, ...]) -> bool:
    """Of a list that is full nobody knows who else would belong on it."""
    return 0 < len(names) < MOST_LISTED and all(map(matches, names))


def _matches(patterns: Sequence[str]) -> Callable[[str], bool]:
    return lambda user: any(fnmatchcase(user, pattern) for pattern in patterns)


def _within(networks: Sequence[str]) -> Callable[[str], bool]:
    wanted = [ip_network(network) for network in networks]

    def within(address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in wanted)

    return within


def _zone_of(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
