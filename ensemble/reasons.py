"""``REASONS``: every reason an event can be suspicious for, in an analyst's words.

A reason is made from the features that carry its code (preprocessing/features.py) and from the
:class:`preprocessing.history.Evidence` of the event. Its weight is how far those features lie
beyond what is ordinary in this tenant, as a share of all of the event's excess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ensemble.verdict import Reason
from preprocessing.features import FEATURES
from preprocessing.geo import speed_kmh
from preprocessing.history import FACTS, Evidence, Usual

#: Most reasons shown, and the least share of the excess that earns a place.
MOST_REASONS = 5
LEAST_WEIGHT = 0.05

_FACT = {name: index for index, name in enumerate(FACTS)}
Told = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """One reason: MITRE ATT&CK technique, what to do next, and how it is told.

    ``tell`` gives (text, observed, usual) from the evidence.
    """

    attack: str
    runbook: str
    tell: Callable[[Evidence], Told]


def _fact(evidence: Evidence, name: str) -> float:
    return evidence.facts[_FACT[name]]


def _window(evidence: Evidence) -> str:
    if not evidence.events:
        return "nothing learned yet"
    days = max(1, round(evidence.days))
    return f"{evidence.events} events, {days} day{'s' if days > 1 else ''}"


def _usual(usual: Usual | None) -> str:
    return f"{usual.value} ({usual.count} of {usual.total})" if usual else "nothing learned yet"


def _value(name: str, what: str, observed_of: Callable[[Evidence], str]) -> Callable[..., Told]:
    """Told as "first time" or "k of n" for one categorical field."""

    def tell(evidence: Evidence) -> Told:
        observed = observed_of(evidence)
        usual = evidence.usual.get(name)
        if usual is None or not usual.observed:
            text = f"first {what} {observed} for this user in {_window(evidence)}"
        else:
            text = f"{what} {observed} seen in {usual.observed} of this user's {usual.total} events"
        return text, observed, _usual(usual)

    return tell


def _network(evidence: Evidence) -> Told:
    event = evidence.event
    network = f"AS{event.asn}" if event.asn else "network"
    observed = f"{event.source_ip or 'unknown address'} ({network})"
    usual = evidence.usual.get("network")
    address = evidence.usual.get("address")
    if usual is not None and usual.observed:
        seen = address.observed if address else 0
        text = f"address {event.source_ip} seen {seen} times, its network {usual.observed}"
        return f"{text} of {usual.total}", observed, _usual(usual)
    return f"first login from this network in {_window(evidence)}", observed, _usual(usual)


def _device(evidence: Evidence) -> Told:
    event = evidence.event
    observed = event.device_id or event.user_agent or "unknown device"
    usual = evidence.usual.get("device") or evidence.usual.get("agent")
    seen = usual.observed if usual else 0
    text = f"device seen in {seen} of {usual.total if usual else 0} events of this user"
    return text, observed[:120], _usual(usual)


def _country(evidence: Evidence) -> Told:
    event = evidence.event
    where = ", ".join(part for part in (event.city, event.country) if part) or "unknown place"
    away = _fact(evidence, "home_km")
    text = f"{where}, {away:,.0f} km from this user's usual places" if away else f"seen in {where}"
    return text, where, _usual(evidence.usual.get("country"))


def _travel(evidence: Evidence) -> Told:
    event, place = evidence.event, evidence.place
    where = event.city or event.country or "this place"
    if place is None:
        return f"far from the last known place, now {where}", where, "no earlier place"
    km, seconds = _fact(evidence, "travel_km"), _fact(evidence, "travel_s")
    origin = place.city or place.country or f"{place.latitude:.1f}, {place.longitude:.1f}"
    since = datetime.fromtimestamp(place.at_s, UTC)
    same = "unchanged" if event.device_id == place.device_id else "changed"
    text = (
        f"{km:,.0f} km in {_duration(seconds)} ({speed_kmh(km, seconds):,.0f} km/h at least) since "
        f"{origin} {since:%Y-%m-%d %H:%M} UTC, device {same}"
    )
    return text, where, f"{origin}; countries: {_usual(evidence.usual.get('country'))}"


def _hours(evidence: Evidence) -> Told:
    at = evidence.event.timestamp.astimezone(UTC)
    observed = f"{at:%a %H:%M} UTC"
    usual = f"{_spans(evidence.hours)} ({_window(evidence)})" if evidence.hours else "not learned"
    return f"active at {observed}, usually {usual}", observed, usual


def _dormant(evidence: Evidence) -> Told:
    days = _fact(evidence, "gap_s") / 86400.0
    return f"first event in {days:,.0f} days", f"{days:,.0f} days silent", _window(evidence)


def _rate(evidence: Evidence) -> Told:
    count = _fact(evidence, "events_1h") + 1
    usual = 2.0 ** _fact(evidence, "usual_events_1h")
    text = f"about {count:,.0f} events within the hour, usually about {usual:,.0f}"
    return text, f"{count:,.0f} events/h", f"{usual:,.0f} events/h"


def _bytes(evidence: Evidence) -> Told:
    amount = evidence.event.bytes_transferred or 0
    usual = _size(evidence.usual_bytes) if evidence.usual_bytes else "nothing learned yet"
    times = amount / evidence.usual_bytes if evidence.usual_bytes >= 1 else 0.0
    text = f"{_size(amount)} transferred" + (f", {times:,.0f} times the usual" if times else "")
    return text, _size(amount), f"{usual} ({_window(evidence)})"


def _failures(evidence: Evidence) -> Told:
    short, day = _fact(evidence, "user_failures_15m"), _fact(evidence, "user_failures_1d")
    told = evidence.event.failed_attempts
    now = 1 if evidence.event.outcome == "failure" else 0
    text = f"{short + now:,.0f} failures of this user in 15 min, {day + now:,.0f} in a day"
    text += f"; the source reports {told}" if told else ""
    return text, f"{max(short + now, told or 0):,.0f} failures", "a few a day at most"


def _address_failures(evidence: Evidence) -> Told:
    short, day = _fact(evidence, "address_failures_15m"), _fact(evidence, "address_failures_1d")
    now = 1 if evidence.event.outcome == "failure" else 0
    ip = evidence.event.source_ip or "this address"
    text = f"{short + now:,.0f} failures from {ip} in 15 min, {day + now:,.0f} in a day"
    regulars = _fact(evidence, "address_regulars")
    return text, f"{day + now:,.0f} failures/day", f"{regulars:.0f} people work from there"


def _spraying(evidence: Evidence) -> Told:
    users = _fact(evidence, "address_failing_users_1h")
    ip = evidence.event.source_ip or "this address"
    text = f"{users:,.0f} accounts failed from {ip} within the hour"
    return text, f"{users:,.0f} accounts", "1 or 2 accounts"


def _brute_force(evidence: Evidence) -> Told:
    mine, address = _fact(evidence, "user_failures_15m"), _fact(evidence, "address_failures_1d")
    text = f"success after {mine:,.0f} failures of this user, {address:,.0f} from its address"
    return text, f"success after {max(mine, address):,.0f} failures", "0 to 2 failures before"


def _unknown_user(evidence: Evidence) -> Told:
    name = evidence.event.user_id
    return f"no successful login of {name!r} was ever learned", name, "known users of the tenant"


def _method(evidence: Evidence) -> Told:
    event = evidence.event
    observed = f"{event.auth_kind} {event.action} by {event.auth_method or 'unknown method'}"
    method, kind = evidence.usual.get("method"), evidence.usual.get("kind")
    usual = f"{_usual(kind)}, {_usual(method)}"
    return f"unusual way in for this user: {observed}", observed, usual


def _mfa_denials(evidence: Evidence) -> Told:
    count = _fact(evidence, "mfa_denials_15m")
    text = f"{count:,.0f} second-factor prompts denied in 15 min"
    return text, f"{count:,.0f} denials", "0 or 1"


def _mfa(evidence: Evidence) -> Told:
    observed = "with MFA" if evidence.event.mfa else "without MFA"
    return f"login {observed}", observed, _usual(evidence.usual.get("mfa"))


def _combination(evidence: Evidence) -> Told:
    text = "no single value stands out; the combination is unlike this tenant's events"
    return text, "the combination", _window(evidence)


REASONS: dict[str, ReasonCode] = {
    "impossible_travel": ReasonCode(
        "T1078", "Ask the user; revoke sessions if they are elsewhere.", _travel
    ),
    "unusual_country": ReasonCode("T1078", "Check for leave or travel; ask the user.", _country),
    "unusual_network": ReasonCode(
        "T1078", "Look up the address; is it a new office, VPN or carrier?", _network
    ),
    "unusual_device": ReasonCode(
        "T1078", "Was a device replaced? If not, revoke its sessions.", _device
    ),
    "off_hours_login": ReasonCode(
        "T1078", "Check duty roster and what was opened next.", _hours
    ),
    "dormant_account": ReasonCode(
        "T1078", "Is the account still needed? Disable it if not.", _dormant
    ),
    "unusual_rate": ReasonCode(
        "T1078", "Look for a script or a stolen session behind the burst.", _rate
    ),
    "large_data_transfer": ReasonCode(
        "T1048", "Find what was copied and where it went.", _bytes
    ),
    "unusual_resource_access": ReasonCode(
        "T1021", "Does the user's role need this resource?",
        _value("resource", "use of", lambda e: e.event.resource or "unknown resource"),
    ),
    "multiple_failed_logins": ReasonCode(
        "T1110.001", "Lock or step up; was there a success afterwards?", _failures
    ),
    "failures_from_address": ReasonCode(
        "T1110", "Block the address; list the accounts it tried.", _address_failures
    ),
    "password_spraying": ReasonCode(
        "T1110.003", "Block the address; reset accounts that succeeded.", _spraying
    ),
    "brute_force_success": ReasonCode(
        "T1110.004", "Treat the account as compromised: revoke and reset.", _brute_force
    ),
    "unknown_user": ReasonCode(
        "T1110.003", "A guessed name, or somebody new? Check with HR.", _unknown_user
    ),
    "unusual_method": ReasonCode(
        "T1078", "Why was the usual way in not used?", _method
    ),
    "missing_mfa": ReasonCode(
        "T1556.006", "Was the second factor removed or bypassed?", _mfa
    ),
    "unusual_combination": ReasonCode(
        "T1078", "Ask for the explanation of this event: it weighs every feature.", _combination
    ),
    "mfa_fatigue": ReasonCode(
        "T1621", "Call the user; reset the password, the attacker has it.", _mfa_denials
    ),
}  # fmt: skip

#: Told when no single feature stands out.
COMBINATION = "unusual_combination"
_CODES: tuple[str, ...] = tuple(dict.fromkeys(feature.reason for feature in FEATURES))
_CODE_OF: NDArray[np.intp] = np.array([_CODES.index(f.reason) for f in FEATURES], np.intp)


def weights(excess: NDArray[np.float32]) -> list[tuple[str, float]]:
    """Reason codes of one event by weight, largest first; weights sum to 1 before the cut."""
    by_code = np.zeros(len(_CODES))
    np.add.at(by_code, _CODE_OF, excess)
    total = float(by_code.sum())
    if total <= 0.0:
        return []
    order = np.argsort(-by_code, kind="stable")[:MOST_REASONS]
    ranked = [(_CODES[index], float(by_code[index]) / total) for index in order]
    return [(code, weight) for code, weight in ranked if weight >= LEAST_WEIGHT]


def reasons(excess: NDArray[np.float32], evidence: Evidence) -> tuple[Reason, ...]:
    """The reasons of one event, by weight; ``COMBINATION`` if nothing stands out by itself."""
    told = []
    for code, weight in weights(excess) or [(COMBINATION, 1.0)]:
        reason = REASONS[code]
        text, observed, usual = reason.tell(evidence)
        told.append(Reason(code, text, observed, usual, reason.attack, round(weight, 4)))
    return tuple(told)


def _spans(hours: tuple[int, ...]) -> str:
    """Hours as spans.

    >>> _spans((7, 8, 9, 13)), _spans((22, 23, 0, 1))
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
    if seconds < 5400:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 172800 else f"{seconds / 86400:,.0f} days"


def _size(amount: float) -> str:
    """Bytes in the unit a person would use.

    >>> _size(1_500_000_000)
    '1.5 GB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"
