"""What people read: subjects that fit a phone, tables, chains."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from alerting.message import Message, Told, alert_message, digest_message, sample_message
from alerting.render import chat, html, reasons, score, subject, text, what, where
from ensemble.verdict import Reason
from tests.unit.alerting.making import NOW_S, alert, event, message, occurrence


def chained(events: int, *, omitted: int = 0, update: bool = False, **changed: Any) -> Message:
    chain = tuple(occurrence(f"e{n}", at_s=NOW_S + n) for n in range(events))
    made = replace(alert("e0"), events=events + omitted, **changed)
    return alert_message("d1", Told(made, chain, omitted), update=update)


def test_a_subject_says_how_severe_who_what_and_how_much() -> None:
    assert subject(message("ann")) == "[HIGH] ann: impossible travel"
    many = chained(3, reasons={"unusual_device": 2, "impossible_travel": 1}, update=True)
    assert subject(many) == "[HIGH] update: ann: impossible travel and 1 more, 3 events"
    assert subject(sample_message("t", NOW_S)).startswith("[TEST] [HIGH] test.user@example.org: ")
    digest = digest_message("d", [alert("e1", severity="low"), alert("e2", severity="critical")])
    assert subject(digest) == "[digest] 2 alerts: 1 critical, 1 low"


def test_an_update_says_so() -> None:
    assert "UPDATE" in text(chained(1, update=True))
    assert "UPDATE" not in text(chained(1))
    assert "UPDATE" in html(chained(1, update=True))


@pytest.mark.parametrize("write", [text, html, chat])
def test_a_test_says_that_it_is_one(write: Any) -> None:
    assert "This is a test".lower() in write(sample_message("t", NOW_S)).lower()


@pytest.mark.parametrize("write", [text, html])
def test_what_is_left_out_of_a_chain_is_told_at_its_place(write: Any) -> None:
    told = write(chained(20, omitted=1234))
    assert told.index("08:00:04") < told.index("1,234 events between") < told.index("08:00:05")
    assert "1,254 suspicious events" in told


def test_what_little_is_known_is_said() -> None:
    made = alert("e1")
    verdict = replace(made.lead.verdict, learning=True, degraded=True)
    lead = replace(made.lead, verdict=verdict)
    unsure = alert_message("d1", Told(replace(made, lead=lead), (lead,)))
    for told in (text(unsure), html(unsure)):
        assert "ittle is known of this user yet" in told
        assert "udged without every detector" in told


def test_reasons_are_told_once_the_heaviest_first() -> None:
    first, second = occurrence("e1"), occurrence("e2")
    light = Reason("unusual_device", "light", "o", "u", "T1078", 0.1)
    heavy = replace(light, text="heavy", weight=0.9)
    chain = tuple(
        replace(each, verdict=replace(each.verdict, reasons=(each.verdict.reasons[0], reason)))
        for each, reason in ((first, light), (second, heavy))
    )
    told = reasons(Told(alert("e1"), chain))
    assert [(each.reason.code, each.reason.text) for each in told] == [
        ("unusual_device", "heavy"), ("impossible_travel", "impossible_travel told"),
    ]  # fmt: skip


def test_an_event_in_words() -> None:
    full = occurrence("e1", outcome="success", resource="payroll")
    assert full.event is not None
    more = {"auth_method": "password", "mfa": False, "asn": 9009, "device_id": "laptop-7"}
    rich = replace(full, event=replace(full.event, bytes_transferred=2_000_000, **more))
    assert what(rich) == "login succeeded, by password without MFA, on payroll, 2,000,000 bytes"
    assert where(rich) == "Singapore, SG · 203.0.113.9 (AS9009) · laptop-7"
    bare = replace(full, event=None)
    assert (what(bare), where(bare)) == ("event", "")
    nowhere = event("e1", ip=None, city=None, country=None)
    assert where(replace(full, event=nowhere)) == ""


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.5, "0.500"), (0.999, "0.999"), (0.99962, "0.99962"), (1 - 1e-9, "0.999999999")],
)
def test_scores_are_told_from_one(value: float, told: str) -> None:
    assert score(value) == told


def test_html_is_escaped() -> None:
    told = html(message('<b onload="x">ann</b>'))
    assert "<b onload" not in told
    assert "&lt;b onload=&#34;x&#34;&gt;ann&lt;/b&gt;" in told


@pytest.mark.parametrize("write", [text, html, chat])
def test_of_several_users_it_is_said_whose_usual_is_meant(write: Any) -> None:
    chain = (occurrence("e1", "ann", code="unusual_device"), occurrence("e2", "bob"))
    several = replace(alert("e1", "ann", code="unusual_device"), users=("ann", "bob"), events=2)
    told = write(alert_message("d1", Told(several, chain)))
    device, travel = told.index("unusual device"), told.index("impossible travel")
    assert "ann" in told[device : device + 900]
    assert "bob" in told[travel : travel + 900]
