"""How each reason is told: (text, observed, usual) from the evidence of one event.

The order an analyst asks in: what was seen against what is usual for this user, with counts and
window; for travel both ends of the pair; then whether the rest of the tenant knows the value too.
"""

from __future__ import annotations

from datetime import UTC, datetime

from preprocessing.event import AuthEvent
from preprocessing.geo import GEO_ACCURACY_KM, speed_kmh
from preprocessing.history import CATEGORIES, FACTS, SHARED, Evidence
from preprocessing.values import values_of

Told = tuple[str, str, str]

NOTHING_LEARNED = "nothing learned yet"
#: Bits from which a value is rare among peers or in the tenant: one user in eight uses it.
RARE_BITS = 3.0
#: Most characters shown of a text that the event itself brought.
MOST_SHOWN = 120
_DAY_S = 86400.0
_FACT = {name: index for index, name in enumerate(FACTS)}


def travel(evidence: Evidence) -> Told:
    event, place = evidence.event, evidence.place
    where = shown(event.city or event.country or "unknown place")
    at = f"{event.timestamp.astimezone(UTC):%H:%M} UTC"
    observed = f"{where} {at}{_from(event.source_ip)}"
    if place is None:
        return f"far from the last known place, now {where}", observed, "no earlier place"
    km, seconds = _fact(evidence, "travel_km"), _fact(evidence, "travel_s")
    origin = shown(place.city or place.country or f"{place.latitude:.1f}, {place.longitude:.1f}")
    since = f"{origin} {datetime.fromtimestamp(place.at_s, UTC):%Y-%m-%d %H:%M} UTC"
    text = (
        f"{km:,.0f} km in {_duration(seconds)} (at least {speed_kmh(km, seconds):,.0f} km/h, "
        f"places good to {GEO_ACCURACY_KM:.0f} km) since {since}, "
        f"{_same_device(event, place.device_id)}, {_outcome(event)}"
    )
    usual = f"{since}{_from(place.source_ip)}; {_usual(evidence, 'country')}"
    return text, observed, usual


def known_attacker(evidence: Evidence) -> Told:
    event = evidence.event
    observed = shown(event.device_id or event.source_ip or event.session_id or "the same event")
    text = "an analyst found an attacker in this user's name, with this device, address or session"
    return text, observed, "the user's own device and address"


def country(evidence: Evidence) -> Told:
    event = evidence.event
    where = shown(", ".join(part for part in (event.city, event.country) if part))
    away = _fact(evidence, "home_km")
    text, _, usual = _category(evidence, "country", "from country")
    if away:
        text = f"{away:,.0f} km from this user's usual places; {text}"
    return text, where or "unknown place", usual


def network(evidence: Evidence) -> Told:
    event = evidence.event
    name = _stranger(evidence, "network", "address")
    text, _, usual = _category(evidence, name, f"from {name}")
    ip = event.source_ip or "unknown address"
    return text, f"{ip} (AS{event.asn})" if event.asn else ip, usual


def device(evidence: Evidence) -> Told:
    name = _stranger(evidence, "device", "agent")
    return _category(evidence, name, "on device" if name == "device" else "with")


def resource(evidence: Evidence) -> Told:
    return _category(evidence, "resource", "on resource")


def method(evidence: Evidence) -> Told:
    event = evidence.event
    name = _stranger(evidence, "method", "kind")
    text, _, _ = _category(evidence, name, "by" if name == "method" else "as")
    observed = f"{event.auth_kind} {event.action} by {event.auth_method or 'unknown method'}"
    return (
        text,
        observed,
        f"{_usual(evidence, 'kind')}; {_usual(evidence, 'method')}",
    )


def mfa(evidence: Evidence) -> Told:
    observed = _observed(evidence, "mfa") or "second factor not reported"
    usual = _usual(evidence, "mfa")
    return f"{evidence.event.action} {observed}; usual: {usual}", observed, usual


def hours(evidence: Evidence) -> Told:
    observed = f"{evidence.event.timestamp.astimezone(UTC):%a %H:%M} UTC"
    if not evidence.hours:
        text = f"active at {observed}; this user's hours are not learned yet"
        return text, observed, NOTHING_LEARNED
    usual = f"{spans(evidence.hours)} UTC"
    return f"active at {observed}, usually {usual}", observed, f"{usual} ({_window(evidence)})"


def dormant(evidence: Evidence) -> Told:
    gap_s, before_s = _fact(evidence, "gap_s"), _fact(evidence, "unproven_silence_s")
    silent = _duration(max(gap_s, before_s))
    text = f"first event after {silent} of silence"
    if before_s > gap_s:
        age = _duration(_fact(evidence, "unproven_age_s"))
        text = f"on a device that appeared {age} ago, after {silent} of silence"
    return text, f"{silent} of silence", _window(evidence)


def rate(evidence: Evidence) -> Told:
    count = _fact(evidence, "events_1h") + 1
    usual = 2.0 ** _fact(evidence, "usual_events_1h")
    text = f"about {counted(count, 'event')} within the hour, usually about {usual:,.0f}"
    return (
        text,
        f"{counted(count, 'event')}/h",
        f"{counted(usual, 'event')}/h ({_window(evidence)})",
    )


def transfer(evidence: Evidence) -> Told:
    amount = evidence.event.bytes_transferred or 0
    text = f"{size(amount)} transferred"
    if evidence.usual_bytes < 1:
        return f"{text}; {NOTHING_LEARNED} about this user", size(amount), NOTHING_LEARNED
    times = amount / evidence.usual_bytes
    if times >= 2:
        text += f", {times:,.0f} times the usual"
    return text, size(amount), f"{size(evidence.usual_bytes)} ({_window(evidence)})"


def failures(evidence: Evidence) -> Told:
    now = _failed(evidence)
    short = _fact(evidence, "user_failures_15m") + now
    day = _fact(evidence, "user_failures_1d") + now
    text = f"{counted(short, 'failure')} of this user in 15 min, {day:,.0f} in a day"
    told = evidence.event.failed_attempts or 0
    if told:
        text += f"; the source reports {told:,}"
    # For a failure the fact is -log2 of the user's share of failures.
    one_in = 2.0 ** _fact(evidence, "outcome_bits")
    usual = f"1 failure in {one_in:,.0f} events" if one_in > 1 else "few failures"
    return text, counted(max(short, told), "failure"), f"{usual} ({_window(evidence)})"


def address_failures(evidence: Evidence) -> Told:
    now = _failed(evidence)
    short = _fact(evidence, "address_failures_15m") + now
    day = _fact(evidence, "address_failures_1d") + now
    text = f"{counted(short, 'failure')} from {_address(evidence)} in 15 min, {day:,.0f} in a day"
    return text, f"{counted(day, 'failure')} in a day", _regulars(evidence)


def spraying(evidence: Evidence) -> Told:
    here, anywhere = (
        _fact(evidence, f"{which}_failing_users_1h") for which in ("address", "strange")
    )
    text = f"{counted(here, 'account')} failed from {_address(evidence)} within the hour"
    if anywhere >= 1:
        usual = 2.0 ** _fact(evidence, "usual_strange_failing_users") - 1.0
        text += (
            f"; {counted(anywhere, 'account')} from networks strange to them, usually {usual:,.0f}"
        )
    return text, f"{counted(max(here, anywhere), 'account')} failed", _regulars(evidence)


def brute_force(evidence: Evidence) -> Told:
    mine, address = _fact(evidence, "user_failures_15m"), _fact(evidence, "address_failures_1d")
    text = (
        f"{_outcome(evidence.event)} after {counted(mine, 'failure')} of this user in 15 min and "
        f"{address:,.0f} from {_address(evidence)} in a day"
    )
    return text, f"after {counted(max(mine, address), 'failure')}", _regulars(evidence)


def unknown_user(evidence: Evidence) -> Told:
    name = shown(evidence.event.user_id)
    text = f"no success of user {name!r} was ever learned; {_outcome(evidence.event)}"
    return text, name or "unprintable name", "users with a learned success"


def mfa_denials(evidence: Evidence) -> Told:
    count = _fact(evidence, "mfa_denials_15m")
    text = f"{counted(count, 'second-factor prompt')} denied in 15 min; {_outcome(evidence.event)}"
    return text, counted(count, "denial"), _usual(evidence, "mfa")


def combination(evidence: Evidence) -> Told:
    text = "no single value stands out; their combination is unlike this tenant's events"
    return text, "the combination", f"each value by itself ({_window(evidence)})"


def _fact(evidence: Evidence, name: str) -> float:
    return evidence.facts[_FACT[name]]


def _observed(evidence: Evidence, name: str) -> str:
    value = dict(zip(CATEGORIES, values_of(evidence.event), strict=True))[name]
    return shown(value or "")


def _usual(evidence: Evidence, name: str) -> str:
    """The user's commonest value of one field: "DE (212 of 214 events, 60 days)"."""
    usual = evidence.usual.get(name)
    if usual is None:
        return f"{name}: {NOTHING_LEARNED}"
    return f"{shown(usual.value)} ({usual.count} of {usual.total} events, {_days(evidence)})"


def _category(evidence: Evidence, name: str, lead: str) -> Told:
    """Told as "first time" or "k of n" for one field."""
    observed = _observed(evidence, name)
    shown = f"{lead} {observed or 'unknown'}"
    usual = evidence.usual.get(name)
    if usual is None:
        text = f"{shown}; {NOTHING_LEARNED} about this user"
    elif usual.observed:
        text = f"{shown} in {usual.observed} of this user's {counted(usual.total, 'event')}"
    else:
        text = f"first time {shown} in {_window(evidence)}"
    if name in SHARED:
        text += _others(evidence, name)
    return text, observed or f"unknown {name}", _usual(evidence, name)


def _others(evidence: Evidence, name: str) -> str:
    """Whether the user's peers, or the tenant, know a value that is new to the user."""
    among = {"peer": "among this user's peers", "tenant": "in the whole tenant"}
    rare = [
        whom for who, whom in among.items() if _fact(evidence, f"{name}_{who}_bits") >= RARE_BITS
    ]
    return f", rare {' and '.join(rare)}" if rare else ""


def _stranger(evidence: Evidence, one: str, other: str) -> str:
    """Which of two fields is rarer for this user."""
    mine, its = _fact(evidence, f"{one}_user_bits"), _fact(evidence, f"{other}_user_bits")
    return other if its > mine else one


def _window(evidence: Evidence) -> str:
    if not evidence.events:
        return NOTHING_LEARNED
    return f"{counted(evidence.events, 'event')}, {_days(evidence)}"


def _days(evidence: Evidence) -> str:
    return counted(max(1, round(evidence.days)), "day")


def _regulars(evidence: Evidence) -> str:
    regulars = _fact(evidence, "address_regulars")
    return (
        f"{counted(regulars, 'user')} known to work from there"
        if regulars
        else "nobody known there"
    )


def _address(evidence: Evidence) -> str:
    return evidence.event.source_ip or "this address"


def _from(source_ip: str | None) -> str:
    return f" from {source_ip}" if source_ip else ""


def _failed(evidence: Evidence) -> int:
    """1 if the event itself is a failure: history counted only those before it."""
    return 1 if evidence.event.outcome == "failure" else 0


def _outcome(event: AuthEvent) -> str:
    told = "failed" if event.outcome == "failure" else "succeeded"
    factor = {True: " with MFA", False: " without MFA", None: ""}[event.mfa]
    return f"{event.action} {told}{factor}"


def _same_device(event: AuthEvent, before: str | None) -> str:
    if not event.device_id or not before:
        return "device unknown"
    return "device unchanged" if event.device_id == before else "device changed"


def shown(text: str) -> str:
    """A text of the event's own, on one line and no longer than an alert can bear.

    >>> shown("a" * 200)[-3:], shown("two\\nlines")
    ('aa…', 'two?lines')
    """
    clean = "".join(char if char.isprintable() else "?" for char in text[: MOST_SHOWN + 1])
    return f"{clean[: MOST_SHOWN - 1]}…" if len(clean) > MOST_SHOWN else clean


def counted(count: float, what: str) -> str:
    """
    >>> counted(1.0, "failure"), counted(2345.6, "event")
    ('1 failure', '2,346 events')
    """
    told = f"{count:,.0f}"
    return f"{told} {what}" if told == "1" else f"{told} {what}s"


def spans(hours: tuple[int, ...]) -> str:
    """Hours as spans.

    >>> spans((7, 8, 9, 13)), spans((22, 23, 0, 1))
    ('07-10, 13-14', '22-02')
    """
    starts = [hour for hour in hours if (hour - 1) % 24 not in hours]
    if not starts:
        return "any hour"
    spans = []
    for start in starts:
        end = start
        while (end + 1) % 24 in hours:
            end = (end + 1) % 24
        spans.append(f"{start:02d}-{(end + 1) % 24:02d}")
    return ", ".join(spans)


def _duration(seconds: float) -> str:
    """
    >>> _duration(12), _duration(2400), _duration(40_000), _duration(864_000)
    ('12 s', '40 min', '11.1 h', '10 days')
    """
    if seconds < 90:
        return f"{seconds:,.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:,.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / _DAY_S:,.0f} days"


def size(amount: float) -> str:
    """Bytes in the unit a person would use.

    >>> size(1_500_000_000)
    '1.5 GB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"
