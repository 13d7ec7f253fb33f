"""Signals of campaigns: what is telling only together, and what only many users show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import NAMES, extract

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
STRANGE: dict[str, Any] = {"device_id": "thief's", "asn": 64500, "source_ip": "203.0.113.9"}

_ids = count()


def event(hours: float, user: str = "u0", **fields: Any) -> AuthEvent:
    known: dict[str, Any] = {"outcome": "success", "asn": 3320, "source_ip": "192.0.2.7"}
    known |= {
        "device_id": f"{user}'s",
        "event_id": str(next(_ids)),
        "resource": "mail",
        "bytes_transferred": 20_000,
    }
    return AuthEvent(MONDAY + timedelta(hours=hours), **{"user_id": user} | known | fields)


@pytest.fixture(name="history")
def office() -> EmbeddedHistory:
    """A history of twenty users and a service account, a month of working days each."""
    history = EmbeddedHistory()
    days = [day for day in range(-28, 0) if day % 7 < 5]
    events = [event(24 * day + 9, f"u{number}") for day in days for number in range(20)]
    events += [
        event(24 * day + 2, "backup", auth_kind="service", source_ip="192.0.2.9", device_id=None)
        for day in days
    ]
    history.observe(events, now_s=0.0)
    history.learn(e.event_id for e in events)
    return history


def last(history: EmbeddedHistory, *events: AuthEvent) -> dict[str, float]:
    """Features of the last of the events, which are observed but not learned."""
    values = extract(events, history.observe(events, now_s=0.0)).values[-1]
    return dict(zip(NAMES, values.tolist(), strict=True))


def test_a_new_device_or_a_new_place_alone_is_often_nothing(history: EmbeddedHistory) -> None:
    alone = (event(9, device_id="new"), event(9.1, asn=64500))
    assert [last(history, each)["new_device_elsewhere"] for each in alone] == [0, 0]
    assert last(history, event(9.2, **STRANGE))["new_device_elsewhere"] > 2


def test_failures_are_worse_before_a_stranger(history: EmbeddedHistory) -> None:
    typos = [event(8 + n / 100, outcome="failure") for n in range(6)]
    owner = last(history, *typos, event(9))
    stranger = last(history, event(9.1, **STRANGE))
    assert owner["stranger_after_failures"] == 0 < owner["success_after_failures"]
    assert stranger["stranger_after_failures"] > 2


def test_silence_is_worse_before_a_stranger(history: EmbeddedHistory) -> None:
    assert last(history, event(24 * 56 + 9))["stranger_after_silence"] == 0
    assert last(history, event(24 * 56 + 9, "u1", **STRANGE))["stranger_after_silence"] > 2


def test_a_changed_factor_makes_a_new_device_stranger_for_a_day(history: EmbeddedHistory) -> None:
    change = event(9, action="mfa", mfa=False)
    new = {"device_id": "thief's"}
    before = last(history, event(8, **new))
    assert before["stranger_after_factor"] == 0
    assert last(history, change, event(10, **new))["stranger_after_factor"] > 2
    assert last(history, event(24 * 7 + 9, **new))["stranger_after_factor"] < 0.1
    confirmed = event(9, "u1", action="mfa", mfa=True)
    assert last(history, confirmed, event(10, "u1", **new))["stranger_after_factor"] == 0


def test_a_bulk_transfer_off_hours(history: EmbeddedHistory) -> None:
    bulk: dict[str, Any] = {"bytes_transferred": 5_000_000_000}
    assert last(history, event(9, **bulk))["off_hours_transfer"] < 0.01
    assert last(history, event(20, "u1"))["off_hours_transfer"] < 0.01
    assert last(history, event(20, "u2", **bulk))["off_hours_transfer"] > 2


def test_a_service_account_that_somebody_uses(history: EmbeddedHistory) -> None:
    assert last(history, event(26, "backup", auth_kind="service"))["service_interactive"] == 0
    unknown = last(history, event(27, "backup", device_id="thief's"))
    administrator = last(history, event(28, "backup", device_id="u3's"))
    person = last(history, event(29, "u4", device_id="u3's", action="transfer"))
    assert unknown["service_interactive"] > 2
    assert administrator["service_interactive"] < 0.5 * unknown["service_interactive"]
    assert administrator["address_user_bits"] < 0.5 * unknown["address_user_bits"]
    assert person["service_interactive"] == 0


def test_spraying_from_everywhere(history: EmbeddedHistory) -> None:
    """Every failure from another address and network, one for each user."""
    spray = [
        event(9 + n / 40, f"u{n}", outcome="failure", asn=65000 + n, source_ip=f"203.0.113.{n}")
        for n in range(18)
    ]
    at_spray = last(history, *spray)
    assert at_spray["address_failing_users"] == 0
    assert at_spray["distributed_spray"] > 3
    typo = last(history, event(9.6, "u19", outcome="failure"))
    assert typo["distributed_spray"] == 0


def test_a_tenants_usual_failures_abroad_are_no_spray(history: EmbeddedHistory) -> None:
    for week in range(12):
        wave = [
            event(24 * 7 * week + 9 + n / 40, f"u{n}", outcome="failure", asn=65000 + 20 * week + n)
            for n in range(18)
        ]
        history.observe(wave, now_s=0.0)
        history.learn(e.event_id for e in wave)
    again = [event(24 * 7 * 13 + 9, f"u{n}", outcome="failure", asn=64000 + n) for n in range(6)]
    assert last(history, *again)["distributed_spray"] < 1
