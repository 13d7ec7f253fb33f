import re
from datetime import UTC, datetime
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ensemble.reasons import (
    COMBINATION,
    KNOWN_ATTACKER,
    LEAST_TOLD,
    MOST_REASONS,
    REASONS,
    reasons,
    weights,
)
from preprocessing.event import AuthEvent
from preprocessing.features import CAP, FEATURES, NAMES
from preprocessing.history import CATEGORIES, FACTS, Evidence, Usual
from preprocessing.surprise import NOTABLE, notable
from preprocessing.values import values_of
from preprocessing.whereabouts import Place

AT = datetime(2026, 11, 22, 8, 55, tzinfo=UTC)
CODES = sorted(REASONS)


def bare() -> Evidence:
    """Of a brand-new user, in an event without any optional field."""
    event = AuthEvent(timestamp=AT, user_id="new", outcome="success", event_id="e1")
    return evidence_of(event, None, 0.0)


def evidence_of(event: AuthEvent, place: Place | None, fact: float) -> Evidence:
    return Evidence(event, (fact,) * len(FACTS), place, 0, 0.0, {}, (), 0.0)


def known(
    facts: dict[str, float] | None = None, *, place: Place | None = None, seen: int = 0
) -> Evidence:
    """Of a user with 212 learned events in 60 days; its values were seen ``seen`` times before."""
    event = AuthEvent(
        timestamp=AT,
        user_id="ada",
        outcome="success",
        event_id="e2",
        source_ip="203.0.113.9",
        country="SG",
        city="Singapore",
        latitude=1.352,
        longitude=103.82,
        asn=9009,
        device_id="laptop-7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        auth_method="password",
        mfa=False,
        resource="payroll",
        bytes_transferred=3_000_000_000,
        failed_attempts=3,
    )
    tops = dict.fromkeys(CATEGORIES, "usual one") | {"country": "DE", "mfa": "with MFA"}
    usual = {name: Usual(tops[name], 210, 212, seen) for name in CATEGORIES}
    told = tuple((facts or {}).get(name, 0.0) for name in FACTS)
    began = ("laptop-1", "Firefox on Linux", "AS9009")
    return Evidence(
        event, told, place, 212, 60.2, usual, (7, 8, 9, 10), 10_000_000.0, began=began
    )  # fmt: skip


BERLIN = Place(
    52.52, 13.405, AT.timestamp() - 2400, "Berlin", "DE", "198.51.100.1", "laptop-7"
)  # fmt: skip
EVIDENCE = {
    "bare": bare(),
    "known": known({"travel_km": 9916.0, "travel_s": 2400.0}, place=BERLIN),
    "everything_seen": known(place=BERLIN, seen=7),
    "failure": evidence_of(
        AuthEvent(timestamp=AT, user_id="x\n\x1b[31m" + "y" * 240, outcome="failure"),
        Place(0.0, 0.0, 0.0),
        3.0,
    ),
}


def test_every_feature_has_a_reason_and_every_reason_a_feature() -> None:
    assert {feature.reason for feature in FEATURES} | {COMBINATION, KNOWN_ATTACKER} == set(REASONS)


@pytest.mark.parametrize("code", CODES)
def test_a_reason_says_what_to_do(code: str) -> None:
    assert re.fullmatch(r"T\d{4}(\.\d{3})?", REASONS[code].attack)
    assert REASONS[code].runbook.endswith((".", "?"))


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=list(EVIDENCE))
@pytest.mark.parametrize("code", CODES)
def test_every_reason_is_told_from_any_evidence(code: str, evidence: Evidence) -> None:
    for told in REASONS[code].tell(evidence):
        assert told == told.strip() != ""
        assert told.isprintable()
        assert len(told) < 400
        assert "None" not in told


def test_travel_gives_both_ends_of_the_pair() -> None:
    text, observed, usual = REASONS["impossible_travel"].tell(EVIDENCE["known"])
    assert text == (
        "9,916 km in 40 min (at least 14,724 km/h, places good to 100 km) since Berlin "
        "2026-11-22 08:15 UTC, device unchanged, login succeeded without MFA"
    )
    assert observed == "Singapore 08:55 UTC from 203.0.113.9"
    assert usual == (
        "Berlin 2026-11-22 08:15 UTC from 198.51.100.1; DE (210 of 212 events, 60 days)"
    )


@pytest.mark.parametrize(
    ("code", "facts", "text"),
    [
        (
            "unusual_country",
            {"home_km": 9800.0, "country_tenant_bits": 6.0},
            (
                "9,800 km from this user's usual places; first time from country SG in 212 "
                "events, 60 days, rare in the whole tenant"
            ),
        ),
        ("unusual_network", {}, "first time from network AS9009 in 212 events, 60 days"),
        (
            "unusual_network",
            {"address_user_bits": 4.0},
            "first time from address 203.0.113.9 in 212 events, 60 days",
        ),
        ("unusual_device", {}, "first time on device laptop-7 in 212 events, 60 days"),
        (
            "unusual_device",
            {"agent_user_bits": 3.0},
            "first time with Firefox on Linux in 212 events, 60 days",
        ),
        ("off_hours_login", {}, "active at Sun 08:55 UTC, usually 07-11 UTC"),
        ("dormant_account", {"gap_s": 90 * 86400.0}, "first event after 90 days of silence"),
        (
            "unusual_rate",
            {"events_1h": 39.2, "usual_events_1h": 1.0},
            "about 40 events within the hour, usually about 2",
        ),
        ("large_data_transfer", {}, "3.0 GB transferred, 300 times the usual"),
        (
            "large_data_volume",
            {
                "bytes_day": 4e6,
                "bytes_week": 9e6,
                "usual_bytes_day": 10.0,
                "usual_bytes_week": 12.0,
            },
            "7.0 GB transferred within about a day, 12.0 GB within about a week",
        ),
        (
            "many_new_resources",
            {
                "new_day": 22.0,
                "resource_user_bits": 8.0,
                "usual_new_day": log2(1 + 5),
                "new_week": 22.0,
                "usual_new_week": log2(1 + 10),
            },
            (
                "payroll, one more new resource: what was new to this user within a day weighs "
                "6.0 times the usual, within a week 3.0 times"
            ),
        ),
        (
            "session_moved",
            {"session_device": 4.0},
            ("the session goes on elsewhere than it began: device laptop-1, now laptop-7"),
        ),
        (
            "new_device_elsewhere",
            {},
            (
                "first time on device laptop-7 in 212 events, 60 days; at once first time from "
                "AS9009 in 212 events, 60 days"
            ),
        ),
        (
            "dormant_account",
            {"unproven_silence_s": 30 * 86400.0, "unproven_age_s": 4 * 86400.0},
            "on a device that appeared 4 days ago, after 30 days of silence",
        ),
        (
            "unproven_device",
            {"unproven_age_s": 86400.0 * 3, "unproven_events": 5.2, "unproven_hour_bits": 4.0},
            (
                "laptop-7 appeared 3 days ago and was never where this user usually is; about 5 "
                "events, some at unusual hours"
            ),
        ),
        (
            "scattered_resources",
            {"scattered_resources": 4.1},
            (
                "payroll: within about a week this user began to use what belongs to 4 groups of "
                "people, hardly anybody of whom is in two"
            ),
        ),
        (
            "factor_changed",
            {"factor_age_s": 1200.0},
            (
                "20 min after a change of the second factor that no factor confirmed: first time "
                "on device laptop-7 in 212 events, 60 days"
            ),
        ),
        (
            "off_hours_transfer",
            {},
            "3.0 GB transferred, 300 times the usual, active at Sun 08:55 UTC, usually 07-11 UTC",
        ),
        (
            "service_interactive",
            {"service_share": 0.98},
            (
                "first time a service account, now interactive login in 212 events, 60 days; "
                "at least 98% of its events were a service's"
            ),
        ),
        (
            "password_spraying",
            {
                "address_failing_users_1h": 2.0,
                "strange_failing_users_1h": 31.0,
                "usual_strange_failing_users": 2.0,
            },
            (
                "2 accounts failed from 203.0.113.9 within the hour; 31 accounts from networks "
                "strange to them, usually 3"
            ),
        ),
        ("unusual_mfa", {}, "login without MFA; usual: with MFA (210 of 212 events, 60 days)"),
        (
            "brute_force_success",
            {"user_failures_15m": 12.0, "address_failures_1d": 40.0},
            (
                "login succeeded without MFA after 12 failures of this user in 15 min and 40 "
                "from 203.0.113.9 in a day"
            ),
        ),
        (
            "mfa_fatigue",
            {"mfa_denials_15m": 6.2},
            "6 second-factor prompts denied in 15 min; login succeeded without MFA",
        ),
    ],
)
def test_texts_show_observed_against_usual(code: str, facts: dict[str, float], text: str) -> None:
    assert REASONS[code].tell(known(facts))[0] == text


def test_a_value_seen_before_is_told_with_its_count() -> None:
    text, observed, usual = REASONS["unusual_resource_access"].tell(known(seen=2))
    assert text == "on resource payroll in 2 of this user's 212 events"
    assert (observed, usual) == ("payroll", "usual one (210 of 212 events, 60 days)")


def test_weights_rank_codes_and_never_exceed_one() -> None:
    decades = np.zeros(len(FEATURES), np.float32)
    decades[NAMES.index("travel_speed")] = 2.0
    decades[NAMES.index("travel_distance")] = 1.0
    decades[NAMES.index("hour_bits")] = 1.0
    assert weights(decades) == [("impossible_travel", 0.75), ("off_hours_login", 0.25)]


def test_what_one_ordinary_event_in_thirty_shows_is_no_reason() -> None:
    decades = np.full(len(FEATURES), np.nextafter(np.float32(LEAST_TOLD), np.float32(0.0)))
    assert weights(decades) == []
    decades[NAMES.index("hour_bits")] = LEAST_TOLD
    assert weights(decades) == [("off_hours_login", 1.0)]


def test_every_event_whose_evidence_is_kept_has_a_reason() -> None:
    decades = np.zeros((1, len(FEATURES)), np.float32)
    decades[0, NAMES.index("hour_bits")] = NOTABLE
    assert notable(decades).all()
    assert weights(decades[0])


@given(
    hnp.arrays(
        np.float32, len(FEATURES), elements=st.floats(0.0, CAP, width=32, allow_subnormal=False)
    )
)
def test_reasons_are_few_ordered_and_sum_to_at_most_one(decades: NDArray[np.float32]) -> None:
    given_reasons = reasons(decades, EVIDENCE["known"])
    shares = [reason.weight for reason in given_reasons]
    assert 1 <= len(shares) <= MOST_REASONS
    assert shares == sorted(shares, reverse=True)
    assert sum(round(share * 1e4) for share in shares) <= 10_000
    assert len({reason.code for reason in given_reasons}) == len(shares)
    assert all(REASONS[reason.code].attack == reason.attack for reason in given_reasons)


def test_nothing_beyond_the_commonplace_is_told_as_a_combination() -> None:
    (only,) = reasons(np.zeros(len(FEATURES), np.float32), bare())
    assert (only.code, only.weight) == (COMBINATION, 1.0)


def test_evidence_here_shows_every_category() -> None:
    assert None not in values_of(known().event)
