"""Devices nobody has vouched for, and resources of many groups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import NAMES, extract
from preprocessing.feedback import Feedback

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
NEW: dict[str, Any] = {"device_id": "new", "source_ip": "203.0.113.9"}
TEAMS = 6

_ids = count()


def event(hours: float, user: str = "u0", **fields: Any) -> AuthEvent:
    known: dict[str, Any] = {"outcome": "success", "asn": 3320, "source_ip": "192.0.2.7"}
    known |= {"device_id": f"{user}'s", "event_id": str(next(_ids)), "resource": "mail"}
    return AuthEvent(MONDAY + timedelta(hours=hours), **{"user_id": user} | known | fields)


@pytest.fixture(name="history")
def teams() -> EmbeddedHistory:
    """Six teams of five, each with three resources of its own, known for a month."""
    history = EmbeddedHistory()
    days = [day for day in range(-28, 0) if day % 7 < 5]
    events = [
        event(24 * day + 9 + n / 10, f"u{number}", resource=f"team{number % TEAMS}-{n}")
        for day in days
        for number in range(5 * TEAMS)
        for n in range(3)
    ]
    history.observe(events, now_s=0.0)
    history.learn(e.event_id for e in events)
    return history


def last(history: EmbeddedHistory, *events: AuthEvent, learned: bool = False) -> dict[str, float]:
    """Features of the last of the events."""
    values = extract(events, history.observe(events, now_s=0.0)).values[-1]
    if learned:
        history.learn(e.event_id for e in events)
    return dict(zip(NAMES, values.tolist(), strict=True))


@pytest.mark.parametrize("learned", [False, True])
def test_the_fifth_event_of_an_unproven_device_is_judged_with_the_first_four(
    history: EmbeddedHistory, learned: bool
) -> None:
    first = last(history, event(21, **NEW), learned=learned)
    for n in range(3):
        last(history, event(22 + n / 10, resource=f"foreign{n}", **NEW), learned=learned)
    fifth = last(history, event(33, resource="team0-1", **NEW))
    assert fifth["unproven_hours"] > first["unproven_hours"] > 0
    assert fifth["unproven_resources"] > 2
    assert fifth["unproven_events"] > 2
    owner = last(history, event(33.1, resource="team0-1"))
    assert owner["unproven_events"] == owner["unproven_resources"] == 0


def test_a_replaced_computer_is_proven_where_its_user_was_before(history: EmbeddedHistory) -> None:
    assert last(history, event(9, device_id="new"))["unproven_events"] == 0
    assert last(history, event(10, "u1", **NEW))["unproven_events"] == 1
    last(history, event(11, "u1", device_id="new"), learned=True)
    assert last(history, event(12, "u1", **NEW))["unproven_events"] == 0


def test_a_device_is_proven_where_the_users_own_appears(history: EmbeddedHistory) -> None:
    last(history, event(9, **NEW), learned=True)
    last(history, event(10, source_ip=NEW["source_ip"]))
    assert last(history, event(11, device_id="new", source_ip="203.0.113.10"))[
        "unproven_events"
    ] == pytest.approx(0)


def test_an_unproven_device_makes_no_place_of_its_own(history: EmbeddedHistory) -> None:
    for n in range(4):
        last(history, event(9 + n, **NEW), learned=True)
    assert last(history, event(14, **NEW))["unproven_events"] > 2


def test_another_device_at_the_address_of_an_unproven_one_proves_neither(
    history: EmbeddedHistory,
) -> None:
    """A quiet intruder's first event was learned, so that the address is one of the user's."""
    for n in range(4):
        last(history, event(9 + n, **NEW), learned=n == 0)
    last(history, event(13, **NEW | {"device_id": "second"}))
    assert last(history, event(14, **NEW))["unproven_events"] > 2


def test_taken_back_all_devices_are_doubted_again(history: EmbeddedHistory) -> None:
    """What is safe makes events like it safe as well; each of them proves."""
    events = [event(9 + n / 2, resource=f"foreign{n}", **NEW) for n in range(3)]
    last(history, *events)
    history.correct([Feedback(1, "safe", events[-1])])
    history.correct([Feedback(2, None, events[-1])])
    assert last(history, event(12, **NEW))["unproven_events"] > 1.5


def test_silence_is_remembered_and_the_owners_return_is_not_strange(
    history: EmbeddedHistory,
) -> None:
    month = 24 * 28
    assert last(history, event(month))["stranger_after_silence"] == 0
    first = last(history, event(month, "u1", **NEW))["stranger_after_silence"]
    later = last(history, event(month + 72, "u1", **NEW), learned=True)["stranger_after_silence"]
    assert first > later > 0.7 * first > 1


def test_what_an_analyst_called_safe_is_proven(history: EmbeddedHistory) -> None:
    alerted = event(9, **NEW)
    last(history, alerted)
    history.correct([Feedback(1, "safe", alerted)])
    assert last(history, event(10, **NEW))["unproven_events"] == 0


def test_an_event_without_a_device_belongs_to_the_one_at_its_address(
    history: EmbeddedHistory,
) -> None:
    last(history, event(9, **NEW))
    unnamed = event(10, device_id=None, source_ip=NEW["source_ip"])
    assert last(history, unnamed)["unproven_events"] > 1
    assert last(history, event(11, device_id=None))["unproven_events"] == 0


def test_few_unproven_devices_are_remembered_and_none_for_ever(history: EmbeddedHistory) -> None:
    for n in range(6):
        last(history, event(9 + n / 10, device_id=f"new{n}", source_ip=f"203.0.113.{n}"))
    assert last(history, event(10, device_id="new0", source_ip="203.0.113.99"))[
        "unproven_events"
    ] == pytest.approx(1)
    later = event(24 * 31 + 10, device_id="new5", source_ip="203.0.113.5")
    assert last(history, later)["unproven_events"] == 0


def test_resources_of_one_team_are_one_task_those_of_many_are_scattered(
    history: EmbeddedHistory,
) -> None:
    task = [event(9 + n, resource=f"team1-{n}") for n in range(3)]
    one = last(history, *task)["scattered_resources"]
    around = [event(9 + n, "u1", resource=f"team{2 + n}-0") for n in range(3)]
    many = last(history, *around, learned=True)["scattered_resources"]
    assert one == pytest.approx(1, abs=0.1)
    assert many > 1.9
    again = last(history, event(33, "u1", resource="team3-0"))["scattered_resources"]
    assert 1.5 < again <= many
    assert last(history, event(33.1, "u1", resource="team1-0"))["scattered_resources"] == 0
    assert last(history, event(24 * 40, "u1", resource="team3-0"))["scattered_resources"] == 0


def test_a_snapshot_keeps_both(history: EmbeddedHistory) -> None:
    last(history, event(9, resource="team1-0", **NEW))
    restored = EmbeddedHistory()
    restored.restore(history.snapshot())
    probe = event(10, resource="team2-0", **NEW)
    assert last(restored, probe) == last(history, probe)
