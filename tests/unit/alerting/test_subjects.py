"""Which events become one alert, how severe it is, and when it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alerting.alert import WAVE, Alert, Occurrence
from alerting.memory_log import MemoryLog
from alerting.rules import Grouping
from alerting.stages.dedup import Dedup
from alerting.stages.group import Group
from tests.unit.alerting.making import ADDRESS, NOW_S, ids, occurrence


def grouped(*batches: list[Occurrence], gap_s: float = 0.0, **grouping: Any) -> list[Alert]:
    """The alerts that batches make, each ``gap_s`` after the one before; by opening."""

    async def talk() -> list[Alert]:
        log, made = MemoryLog(), {}
        group = Group(Grouping.model_validate(grouping), log)
        for number, batch in enumerate(batches):
            new = await Dedup(log)(batch)
            for each in (await group(new, NOW_S + number * gap_s)).alerts:
                made[each.alert_id] = each
        return list(made.values())

    return asyncio.run(talk())


def test_events_of_a_user_become_one_alert() -> None:
    (made,) = grouped(
        [
            occurrence("e1", at_s=NOW_S + 5, outcome="failure"),
            occurrence("e2", at_s=NOW_S, score=0.9999, outcome="failure"),
        ],
        [occurrence("e3", at_s=NOW_S + 9, code="unusual_device", severity="critical",
                    outcome="success")],
    )  # fmt: skip
    assert (made.events, made.successes, made.severity) == (3, 1, "critical")
    assert (made.first_at_s, made.last_at_s) == (NOW_S, NOW_S + 9)
    assert made.reasons == {"impossible_travel": 2, "unusual_device": 1}
    assert made.lead.verdict.event_id == "e2"
    assert len(made.fingerprints) == 2


def test_an_event_offered_again_changes_nothing() -> None:
    again = [occurrence("e1"), occurrence("e1"), occurrence("e2")]
    (made,) = grouped(again, again, list(reversed(again)))
    assert made.events == 2


def test_users_have_alerts_of_their_own() -> None:
    made = grouped([occurrence("e1", "ann"), occurrence("e2", "bob")])
    assert [each.subject for each in made] == ["user:ann", "user:bob"]


def fails(number: int, *, at_s: float = NOW_S, **more: Any) -> Occurrence:
    """A failure of another user than any other number's."""
    return occurrence(f"e{number}", f"user-{number}", at_s=at_s, outcome="failure", **more)


def test_a_failure_of_one_user_is_that_users() -> None:
    (made,) = grouped([occurrence(f"e{n}", outcome="failure") for n in range(9)])
    assert (made.subject, made.events) == ("user:ann", 9)


def test_failures_at_several_users_from_one_address_are_about_the_address() -> None:
    alone, many = grouped([fails(n) for n in range(30)])
    assert (alone.subject, alone.users) == ("user:user-0", ("user-0",))
    assert (many.subject, many.events, len(many.users)) == (f"address:{ADDRESS}", 29, 30)
    one_by_one = grouped(*([fails(n)] for n in range(30)))
    assert {each.subject for each in one_by_one} == {alone.subject, many.subject}


def test_a_success_is_its_users_own_even_from_an_attacking_address() -> None:
    made = grouped([fails(0), fails(1), occurrence("e2", "bob"), fails(3)])
    assert [each.subject for each in made] == [
        "user:user-0", f"address:{ADDRESS}", "user:bob",
    ]  # fmt: skip


def test_a_success_after_failures_ends_their_chain() -> None:
    (made,) = grouped([occurrence("e1", "ann", outcome="failure"), occurrence("e2", "ann")])
    assert (made.events, made.successes) == (2, 1)


def test_who_works_from_an_address_does_not_make_others_failures_an_attack() -> None:
    made = grouped([occurrence("e1", "ann"), fails(2)])
    assert [each.subject for each in made] == ["user:ann", "user:user-2"]


def test_without_an_address_a_failure_is_its_users() -> None:
    made = grouped([fails(n, ip=None) for n in range(3)])
    assert [each.subject for each in made] == ["user:user-0", "user:user-1", "user:user-2"]


def test_failures_everywhere_at_once_become_one_wave() -> None:
    spread = [[fails(n, ip=f"198.51.100.{n}")] for n in range(20)]
    made = grouped(*spread, gap_s=300.0)
    assert [each.subject for each in made] == [
        *(f"user:user-{n}" for n in range(5)), WAVE,
    ]  # fmt: skip
    wave = made[-1]
    assert (wave.events, len(wave.users), len(wave.addresses)) == (15, 20, 20)
    assert wave.who == "20 users from 20 addresses"


def test_failures_now_and_then_are_no_wave() -> None:
    spread = [[fails(n, ip=f"198.51.100.{n}")] for n in range(20)]
    assert WAVE not in {each.subject for each in grouped(*spread, gap_s=1000.0)}
    never = grouped(*spread, gap_s=1.0, wave={"alerts": 0})
    assert WAVE not in {each.subject for each in never}


def test_in_a_wave_a_success_stands_by_itself() -> None:
    spread = [[fails(n, ip=f"198.51.100.{n}")] for n in range(9)]
    made = grouped(*spread, [occurrence("e99", "vip", ip="198.51.100.99")])
    assert [each.subject for each in made][-2:] == [WAVE, "user:vip"]


def test_an_attack_that_grows_is_news_and_more_severe() -> None:
    attack = [[fails(n, severity="low")] for n in range(60)]
    severities = {size: grouped(*attack[:size])[1].severity for size in (9, 10, 49, 50, 60)}
    assert severities == {9: "low", 10: "medium", 49: "medium", 50: "high", 60: "high"}
    before, after = grouped(*attack[:9])[1], grouped(*attack[:10])[1]
    assert (len(before.fresh), len(after.fresh)) == (1, 2)


def test_an_attack_that_goes_on_and_on_is_news_now_and_then() -> None:
    attack = [occurrence(f"e{n}", f"user-{n % 3}", outcome="failure", severity="low")
              for n in range(500)]  # fmt: skip
    news = {size: len(grouped(attack[:size])[1].fresh) for size in (20, 40, 90, 300)}
    assert news == {20: 1, 40: 2, 90: 3, 300: 5}
    assert grouped(attack)[1].severity == "low"


def test_more_kinds_of_reasons_are_more_severe() -> None:
    codes = ["unusual_device", "unusual_country", "impossible_travel", "off_hours_login"]
    chain = [[occurrence(f"e{n}", code=code, severity="low")] for n, code in enumerate(codes)]
    worse = [grouped(*chain[:size])[-1].severity for size in (1, 2, 3, 4)]
    assert worse == ["low", "medium", "medium", "high"]
    (plain,) = grouped(*chain, escalate=False)
    assert (plain.severity, plain.event_severity) == ("low", "low")


@pytest.mark.parametrize(("gap_s", "alerts"), [(3600.0, 1), (4 * 3600.0, 1), (4 * 3600.0 + 1, 3)])
def test_an_alert_is_over_when_it_was_quiet_for_long(gap_s: float, alerts: int) -> None:
    batches = [[occurrence(f"e{n}")] for n in range(3)]
    assert len(grouped(*batches, gap_s=gap_s)) == alerts


def test_an_alert_is_over_after_a_day_in_any_case() -> None:
    batches = [[occurrence(f"e{n}")] for n in range(27)]
    made = grouped(*batches, gap_s=3600.0)
    assert [each.events for each in made] == [25, 2]


def test_a_new_alert_waits_for_what_belongs_to_it_by_its_severity() -> None:
    waits = {}
    for severity in ("low", "medium", "high", "critical"):
        (made,) = grouped([occurrence("e1", severity=severity)])
        waits[severity] = made.notify_s
    assert waits == {"low": NOW_S + 30, "medium": NOW_S + 30, "high": NOW_S + 10,
                     "critical": NOW_S}  # fmt: skip


def test_a_severe_event_shortens_the_wait() -> None:
    (made,) = grouped([occurrence("e1", severity="low")], [occurrence("e2", severity="critical")])
    assert made.notify_s == NOW_S


def test_more_of_the_same_is_no_news() -> None:
    (made,) = grouped([occurrence("e1")], [occurrence("e2", code="unusual_country")])
    assert made.fresh == made.fingerprints
    assert len(made.fresh) == 1


def test_events_are_taken_in_their_order() -> None:
    given = [occurrence("e2", at_s=NOW_S + 1), occurrence("e3", at_s=NOW_S), occurrence("e1")]
    assert ids(asyncio.run(Dedup(MemoryLog())(given))) == ["e1", "e3", "e2"]
