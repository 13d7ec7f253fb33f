"""What conditions ask, and of whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from alerting.conditions import Condition, Facts, Matcher, Times, facts_of_alert, facts_of_event
from tests.unit.alerting.making import ADDRESS, NOW_S, alert, occurrence

MATCHER = Matcher({"admins": ("root", "adm-*")}, {"night": Times.model_validate(
    {"from": "22:00", "until": "06:00"})})  # fmt: skip


def facts(**changed: Any) -> Facts:
    given: dict[str, Any] = {
        "severity": "high", "score": 0.999, "reasons": frozenset({"impossible_travel"}),
        "main_reasons": frozenset({"impossible_travel"}),
        "users": ("ann",), "addresses": (ADDRESS,), "at_s": NOW_S,
    }  # fmt: skip
    return Facts(**(given | changed))


@pytest.mark.parametrize(
    ("condition", "changed", "holds"),
    [
        ({}, {}, True),
        ({"severity_at_least": "high"}, {}, True),
        ({"severity_at_least": "critical"}, {}, False),
        ({"severity_below": "high"}, {}, False),
        ({"severity_below": "critical"}, {}, True),
        ({"score_below": 0.999}, {}, False),
        ({"score_below": 0.9991}, {}, True),
        ({"reasons": ["unusual_device", "impossible_travel"]}, {}, True),
        ({"reasons": ["unusual_device"]}, {}, False),
        ({"users": ["a*"]}, {}, True),
        ({"users": ["A*"]}, {}, False),
        ({"groups": ["admins"]}, {"users": ("bob", "adm-eve")}, True),
        ({"groups": ["admins"]}, {}, False),
        ({"not_groups": ["admins"]}, {}, True),
        ({"not_groups": ["admins"]}, {"users": ("bob", "adm-eve")}, False),
        ({"addresses": ["203.0.113.0/24"]}, {}, True),
        ({"addresses": ["203.0.113.9"]}, {}, True),
        ({"addresses": ["2001:db8::/32"]}, {"addresses": ("2001:db8::1",)}, True),
        ({"addresses": ["203.0.113.0/24"]}, {"addresses": ()}, False),
        ({"addresses": ["203.0.113.0/24"]}, {"addresses": ("no address",)}, False),
        ({"during": "night"}, {}, False),
        ({"outside": "night"}, {}, True),
        ({"users": ["ann"], "severity_below": "high"}, {}, False),
    ],
)
def test_all_that_is_asked_must_hold(
    condition: dict[str, Any], changed: dict[str, Any], holds: bool
) -> None:
    assert MATCHER.holds(Condition.model_validate(condition), facts(**changed)) == holds


def test_every_user_and_address_must_match_when_all_are_meant() -> None:
    condition = Condition(users=("ann", "bob"), addresses=("203.0.113.0/24",))
    both = facts(users=("ann", "bob"))
    assert MATCHER.holds(condition, both, every=True)
    assert not MATCHER.holds(condition, facts(users=("ann", "eve")), every=True)
    assert not MATCHER.holds(condition, facts(addresses=(ADDRESS, "198.51.100.1")), every=True)
    many = facts(users=tuple(f"u{n}" for n in range(50)))
    assert not MATCHER.holds(Condition(users=("u*",)), many, every=True)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("instant", "covered"),
    [
        ("2026-11-23T08:00", True),  # a Monday
        ("2026-11-23T17:59", True),
        ("2026-11-23T18:00", False),
        ("2026-11-23T07:59", False),
        ("2026-11-22T12:00", False),  # a Sunday
    ],
)
def test_office_hours(instant: str, covered: bool) -> None:
    office = Times.model_validate(
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "until": "18:00"}
    )
    assert office.covers(at(instant)) == covered


@pytest.mark.parametrize(
    ("instant", "covered"),
    [
        ("2026-11-27T21:59", False),  # a Friday
        ("2026-11-27T22:00", True),
        ("2026-11-28T05:59", True),  # Friday's night, on Saturday
        ("2026-11-28T22:00", False),
        ("2026-11-27T05:00", False),  # Thursday's night
    ],
)
def test_a_night_belongs_to_the_day_it_begins(instant: str, covered: bool) -> None:
    night = Times.model_validate({"days": ["fri"], "from": "22:00", "until": "06:00"})
    assert night.covers(at(instant)) == covered


def test_hours_are_those_of_their_zone() -> None:
    office = Times.model_validate({"from": "08:00", "until": "18:00", "zone": "Asia/Tokyo"})
    assert office.covers(at("2026-11-23T00:00"))
    assert not office.covers(at("2026-11-23T09:00"))


def test_facts_of_an_event_and_of_an_alert() -> None:
    event = facts_of_event(occurrence("e1", "ann", at_s=NOW_S - 60))
    assert (event.users, event.addresses, event.at_s) == (("ann",), (ADDRESS,), NOW_S - 60)
    told = facts_of_alert(alert("e1", "ann", code="unusual_device"), NOW_S + 5)
    assert (told.reasons, told.at_s) == (frozenset({"unusual_device"}), NOW_S + 5)
