"""``Message``: what a notifier is handed to send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from alerting.alert import SEVERITY_ORDER, Alert, Occurrence, rank, worst
from ensemble.verdict import Reason, Severity, Verdict
from preprocessing.event import AuthEvent

Kind = Literal["alert", "digest", "test"]

#: Events of a chain that a message shows: the first ones, and the last.
FIRST_EVENTS = 5
LAST_EVENTS = 15
#: Alerts that a digest lists one by one, the most severe first; the others are counted.
MOST_DIGESTED = 200


@dataclass(frozen=True, slots=True)
class Told:
    """One alert with the part of its chain that is shown, in the order of the events.

    ``omitted`` events lie between the first :data:`FIRST_EVENTS` and the rest.
    """

    alert: Alert
    chain: tuple[Occurrence, ...]
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``delivery_id`` is its identity: a repeat has the same, another never has.

    ``total`` counts the alerts of a digest, of which ``told`` holds the most severe ones;
    ``severities`` counts them all. ``update`` is whether the channel has told of this alert before.
    ``link`` is ztad's address, empty if unknown.
    """

    delivery_id: str
    kind: Kind
    told: tuple[Told, ...]
    total: int = 1
    severities: tuple[tuple[Severity, int], ...] = ()
    update: bool = False
    link: str = ""

    @property
    def severity(self) -> Severity:
        """The worst of all its alerts."""
        return worst(severity for severity, _ in self.severities)


def alert_message(delivery_id: str, told: Told, *, update: bool = False, link: str = "") -> Message:
    """A message about one alert."""
    return Message(delivery_id, "alert", (told,), 1, ((told.alert.severity, 1),), update, link)


def digest_message(delivery_id: str, alerts: Sequence[Alert], *, link: str = "") -> Message:
    """A summary of at least one alert."""
    ordered = sorted(alerts, key=lambda alert: (-rank(alert.severity), alert.first_at_s))
    counts = [(severity, sum(alert.severity == severity for alert in alerts))
              for severity in reversed(SEVERITY_ORDER)]  # fmt: skip
    told = tuple(Told(alert, (alert.lead,)) for alert in ordered[:MOST_DIGESTED])
    some = tuple((severity, count) for severity, count in counts if count)
    return Message(delivery_id, "digest", told, len(alerts), some, link=link)


def sample_message(delivery_id: str, now_s: float, *, link: str = "") -> Message:
    """An invented alert, marked as a test in subject and body: ``ztad alerts test``."""
    occurrence = _sample(now_s)
    reason = occurrence.verdict.reasons[0]
    alert = Alert(
        alert_id="test",
        subject="user:test.user@example.org",
        severity=occurrence.severity,
        event_severity=occurrence.severity,
        lead=occurrence,
        reasons={reason.code: 1},
        fingerprints=("test",),
        users=(occurrence.verdict.user_id,),
        addresses=(occurrence.address,),
        first_at_s=occurrence.at_s,
        last_at_s=occurrence.at_s,
        opened_s=now_s,
        updated_s=now_s,
        events=1,
        revision=1,
    )
    told = (Told(alert, (occurrence,)),)
    return Message(delivery_id, "test", told, 1, ((alert.severity, 1),), link=link)


def _sample(now_s: float) -> Occurrence:
    """An event of an invented user at documentation addresses (RFC 5737)."""
    event = AuthEvent(
        timestamp=datetime.fromtimestamp(now_s, UTC),
        user_id="test.user@example.org",
        outcome="success",
        event_id="ztad-test",
        source_ip="203.0.113.9",
        country="SG",
        city="Singapore",
        resource="payroll",
    )
    reason = Reason(
        code="impossible_travel",
        text="9,940 km in 40 min (14,900 km/h) since Berlin, device unchanged",
        observed="Singapore from 203.0.113.9",
        usual="Berlin (212 of 212 logins, 60 days)",
        attack="T1078",
        weight=0.75,
    )
    verdict = Verdict(
        event_id="ztad-test", user_id=event.user_id, score=0.9999, is_anomaly=True,
        threshold=0.997, severity="high", reasons=(reason,), detectors={},
        variant="test", model_version="test",
    )  # fmt: skip
    return Occurrence(verdict=verdict, at_s=now_s, severity="high", event=event)
