"""Messages as text for people: subject, plain text, HTML, chat.

The templates in ``alerting/templates/`` say what is shown and in which order; every value they show
passes :mod:`alerting.shown`, and in HTML is escaped besides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from math import ceil, log10
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from alerting.alert import Alert, Occurrence
from alerting.message import Message, Told
from alerting.shown import Ours, shown, shown_in_chat
from ensemble.reasons import REASONS
from ensemble.verdict import Reason

#: Reasons shown of one alert, of those of all its events the heaviest.
MOST_REASONS = 8
#: Characters of a name in a subject: the rest of the line has to fit on a phone.
_SUBJECT_NAME = 40


def subject(message: Message) -> str:
    """One line that says it all in a phone's notification: severity, who, what, how much.

    Contains no line break, whatever events contain.
    """
    if message.kind == "digest":
        return f"[digest] {counted(message.total, 'alert')}: {severities(message)}"
    alert = message.told[0].alert
    head = "[TEST] " if message.kind == "test" else ""
    update = "update: " if message.update else ""
    reasons = sorted(alert.reasons, key=lambda code: -alert.reasons[code])
    lead = alert.lead.main.code if alert.lead.main is not None else ""
    others = len(set(reasons) - {lead})
    more = f" and {others} more" if others else ""
    events = f", {counted(alert.events, 'event')}" if alert.events > 1 else ""
    told = f"{shown(alert.who, _SUBJECT_NAME)}: {label(lead)}{more}{events}"
    return f"{head}[{alert.severity.upper()}] {update}{told}"


def text(message: Message) -> str:
    """Plain text for e-mail."""
    return _render(_mail(), message, "txt")


def html(message: Message) -> str:
    """HTML for e-mail: one page, styles inline, nothing fetched from anywhere."""
    return _render(_mail(), message, "html")


def chat(message: Message) -> str:
    """A few lines for a chat or a push message."""
    return _render(_chat(), message, "chat")


def severities(message: Message) -> str:
    """How many alerts of each severity, worst first: ``2 high, 5 low``."""
    return ", ".join(f"{count} {severity}" for severity, count in message.severities)


def label(code: str) -> str:
    """A reason code in words."""
    return code.replace("_", " ") or "unusual activity"


def counted(count: int, noun: str) -> str:
    """``1 event``, ``1,200 events``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def score(value: float) -> str:
    """A score with as many digits as tell it from 1.

    >>> score(0.99962), score(0.9999999)
    ('0.99962', '0.9999999')
    """
    digits = 1 + ceil(-log10(max(1.0 - value, 1e-15)))
    whole, _, decimals = f"{value:.{digits}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<3}"


def moment(at_s: float) -> str:
    """``2026-11-22 08:15:03 UTC``."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at_s: float) -> str:
    """Day and time of an event in a chain: ``11-22 08:15:03``."""
    return f"{datetime.fromtimestamp(at_s, UTC):%m-%d %H:%M:%S}"


def what(occurrence: Occurrence) -> str:
    """What was done: ``login failed, by password without MFA``."""
    event = occurrence.event
    if event is None:
        return "event"
    told = f"{event.action} {'succeeded' if event.outcome == 'success' else 'failed'}"
    if event.auth_method:
        told += f", by {event.auth_method}"
    if event.mfa is not None:
        told += " with MFA" if event.mfa else " without MFA"
    if event.resource:
        told += f", on {event.resource}"
    if event.bytes_transferred:
        told += f", {event.bytes_transferred:,} bytes"
    return told


def where(occurrence: Occurrence) -> str:
    """Where from: ``Singapore, SG · 203.0.113.9 (AS9009) · laptop-7``."""
    event = occurrence.event
    if event is None:
        return ""
    place = ", ".join(part for part in (event.city, event.country) if part)
    network = f" (AS{event.asn})" if event.asn else ""
    address = f"{event.source_ip}{network}" if event.source_ip else ""
    return " · ".join(part for part in (place, address, event.device_id or "") if part)


class Why(NamedTuple):
    """A reason, and the user of whom it was told."""

    reason: Reason
    user: str


def reasons(told: Told) -> list[Why]:
    """The reasons of the events shown, each code once as it weighed most, the heaviest first."""
    best: dict[str, Why] = {}
    for occurrence in (told.alert.lead, *told.chain):
        for reason in occurrence.verdict.reasons:
            if reason.code not in best or reason.weight > best[reason.code].reason.weight:
                best[reason.code] = Why(reason, occurrence.verdict.user_id)
    return sorted(best.values(), key=lambda why: -why.reason.weight)[:MOST_REASONS]


def steps(told: Told) -> list[str]:
    """What to do first, for the reasons shown."""
    codes = [why.reason.code for why in reasons(told) if why.reason.code in REASONS]
    return list(dict.fromkeys(REASONS[code].runbook for code in codes))[:3]


def technique(attack: str) -> Ours:
    """MITRE's page of a technique."""
    return Ours(f"https://attack.mitre.org/techniques/{attack.replace('.', '/')}/")


def page(message: Message, alert: Alert) -> Ours:
    """Where an alert is found, empty if ztad's address is unknown."""
    return Ours(f"{message.link}/v1/alerts/{alert.alert_id}" if message.link else "")


def queue(message: Message) -> Ours:
    """Where all alerts are found."""
    return Ours(f"{message.link}/v1/alerts")


def _render(environment: Environment, message: Message, suffix: str) -> str:
    kind = "digest" if message.kind == "digest" else "alert"
    template = environment.get_template(f"{kind}.{suffix}")
    return template.render(message=message, subject=subject(message))


@cache
def _mail() -> Environment:
    return _environment(shown)


@cache
def _chat() -> Environment:
    return _environment(shown_in_chat)


def _environment(finalize: Callable[[object], str]) -> Environment:
    environment = Environment(
        loader=PackageLoader("alerting"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        finalize=lambda value: "" if value is None else finalize(value),
    )
    named: list[Callable[..., Any]] = [
        severities, label, counted, score, moment, clock, what, where, reasons, steps, technique,
        page, queue,
    ]  # fmt: skip
    environment.globals |= {each.__name__: each for each in named}
    return environment
