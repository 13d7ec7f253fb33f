"""Features: each detection by example, and that any events at all give numbers in range."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import exp, log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import (
    CAP,
    FEATURES,
    NAMES,
    SCHEMA,
    UnknownWindow,
    Windows,
    extract,
    kept_windows,
    needed_facts,
    plain,
)
from preprocessing.history import FACTS

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
NOW_S = MONDAY.timestamp()
BERLIN: dict[str, Any] = {"country": "DE", "city": "Berlin", "latitude": 52.52, "longitude": 13.4}
SINGAPORE: dict[str, Any] = {
    "country": "SG", "city": "Singapore", "latitude": 1.35, "longitude": 103.82,
}  # fmt: skip
HABITS: dict[str, Any] = {
    "source_ip": "192.0.2.7", "asn": 3320, "device_id": "laptop", "resource": "wiki", "mfa": True,
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0", "auth_method": "sso",
    "bytes_transferred": 20_000, **BERLIN,
}  # fmt: skip

NEVER_ORDINARY = {feature.name: feature.never_ordinary for feature in FEATURES}

_count = iter(range(10**9))


def event(hours: float, **fields: Any) -> AuthEvent:
    """An event of ana, ``hours`` after midnight of the Monday after what she was learned by."""
    at = MONDAY + timedelta(hours=hours)
    known = {"user_id": "ana", "outcome": "success", "event_id": str(next(_count))}
    return AuthEvent(at, **known | HABITS | fields)


def office(*, at_hour: float = 9.0, days: int = 40, **fields: Any) -> EmbeddedHistory:
    """A history that learned ana, who logs in once a working day, and nobody else."""
    history = EmbeddedHistory()
    workdays = [day for day in range(-days, 0) if day % 7 < 5]
    learn(history, [event(24 * day + at_hour + day % 3 / 4, **fields) for day in workdays])
    return history


def learn(history: EmbeddedHistory, events: list[AuthEvent]) -> None:
    history.observe(events, now_s=NOW_S)
    history.learn(e.event_id for e in events)


def last(history: EmbeddedHistory, *events: AuthEvent) -> dict[str, float]:
    """Features of the last of ``events`` by name."""
    values = extract(events, history.observe(events, now_s=NOW_S)).values[-1]
    return dict(zip(NAMES, values.tolist(), strict=True))


def test_an_ordinary_login_is_ordinary() -> None:
    features = last(office(), event(9.2))
    assert {name: value for name, value in features.items() if value > 1} == {}


def test_impossible_travel() -> None:
    features = last(office(), event(9), event(9 + 40 / 60, **SINGAPORE))
    assert features["travel_speed"] > 5  # 14,700 km/h
    assert features["travel_distance"] > 6
    assert features["home_distance"] > 6


@pytest.mark.parametrize(
    "fields",
    [{"outcome": "failure"}, {"auth_kind": "token"}, {"latitude": None}, {"longitude": None}],
    ids=["failed login", "token refresh", "no latitude", "no longitude"],
)
def test_what_is_no_travel(fields: dict[str, Any]) -> None:
    features = last(office(), event(9), event(9 + 40 / 60, **SINGAPORE | fields))
    assert features["travel_speed"] == features["travel_distance"] == 0


def test_a_flight_is_not_impossible() -> None:
    features = last(office(), event(9), event(23, **SINGAPORE))
    assert 0 < features["travel_speed"] < NEVER_ORDINARY["travel_speed"]


def test_returning_home_is_no_travel() -> None:
    features = last(office(), event(9), event(33, **SINGAPORE), event(33.5))
    assert features["travel_speed"] == features["home_distance"] == 0


def test_an_impostor_does_not_move_the_user() -> None:
    impostor = event(9.5, **SINGAPORE)
    features = last(office(), event(9), impostor, event(9.6, **SINGAPORE))
    assert features["travel_speed"] > 5


def test_an_office_exit_says_nothing_about_travel() -> None:
    history = office()
    people = [
        event(-30 + n, user_id=name, source_ip="198.51.100.1", **SINGAPORE)
        for n in range(10) for name in "bcdef"
    ]  # fmt: skip
    learn(history, people)
    features = last(history, event(9), event(9.5, source_ip="198.51.100.1", **SINGAPORE))
    assert features["travel_speed"] == 0


@pytest.mark.parametrize(("usual", "strange"), [(10, 2.5), (2, 13)], ids=["by day", "by night"])
def test_off_hours(usual: float, strange: float) -> None:
    history = office(at_hour=usual)
    assert last(history, event(usual))["hour_bits"] == 0
    assert last(history, event(24 + strange))["hour_bits"] > 2


def test_in_the_first_weeks_a_new_weekday_says_little() -> None:
    saturday = 24 * -2 + 9
    after = [last(office(days=days), event(saturday))["day_bits"] for days in (7, 21, 70)]
    assert 0 < after[0] <= log2(1.5)
    assert after[0] < after[1] <= log2(2.5)
    assert after[1] < after[2]


def test_an_event_from_long_before_all_that_is_known_has_no_new_weekday() -> None:
    assert last(office(), event(24 * -365))["day_bits"] == 0


def test_to_a_stranger_no_weekday_is_new() -> None:
    features = last(office(), event(24 * 5 + 9, user_id="bo"))
    assert features["day_bits"] == 0


def test_a_day_off() -> None:
    history = office()
    assert last(history, event(9))["day_bits"] == 0
    assert last(history, event(24 * 5 + 9))["day_bits"] > 1


def test_a_burst() -> None:
    burst = [event(9 + n / 3600) for n in range(60)]
    assert last(office(), *burst)["rate"] > 4
    assert last(office(), event(9))["rate"] < 1


def test_a_dormant_account() -> None:
    assert last(office(), event(24 * 7 * 32))["dormancy"] == pytest.approx(4, abs=0.1)
    assert last(office(), event(24 * 10))["dormancy"] == 0  # a holiday


def test_spraying_from_one_address() -> None:
    names = [f"user{n}" for n in range(20)]
    spray = [event(9, user_id=name, outcome="failure", source_ip="203.0.113.9") for name in names]
    features = last(office(), *spray)
    assert features["address_failing_users"] > 4  # 19 others
    assert features["address_failures"] > 4
    assert features["user_failures"] == 0
    assert features["user_new"] > 0


def test_an_offices_typos_are_many_peoples() -> None:
    history = office()
    learn(history, [event(-30, user_id=name) for name in "bcde"])
    typos = [event(9, user_id=name, outcome="failure") for name in "abcde"]
    assert last(history, *typos)["address_failing_users"] <= 1


def test_brute_force_then_success() -> None:
    guesses = [event(9 + n / 3600, outcome="failure") for n in range(30)]
    at_failure = last(office(), *guesses)
    at_success = last(office(), *guesses, event(9.02))
    assert at_failure["user_failures"] > 4
    assert at_failure["success_after_failures"] == 0
    assert at_success["success_after_failures"] > 4
    assert at_success["user_failures"] == 0


def test_success_where_others_were_guessed() -> None:
    fields: dict[str, Any] = {"outcome": "failure", "source_ip": "203.0.113.9"}
    guesses = [event(9, user_id=f"user{n}", **fields) for n in range(30)]
    features = last(office(), *guesses, event(9.1, source_ip="203.0.113.9"))
    assert features["success_at_guesser"] > 4


def test_failures_fade() -> None:
    guesses = [event(9, outcome="failure") for _ in range(30)]
    assert last(office(), *guesses, event(13))["success_after_failures"] < 0.01
    assert last(office(), *guesses, event(13, outcome="failure"))["user_failures_day"] > 4


@pytest.mark.parametrize(
    ("window", "feature", "then"),
    [
        ("failures", "user_failures", {"outcome": "failure"}),
        ("failures", "success_after_failures", {}),
        ("address_failures", "address_failures", {"outcome": "failure"}),
        ("guesses", "success_at_guesser", {"user_id": "bo"}),
        ("denials", "mfa_denials", {}),
    ],
)
def test_a_window_counts_for_as_long_as_it_says(
    window: str, feature: str, then: dict[str, Any]
) -> None:
    history = office()
    denials = [event(9, outcome="failure", action="mfa", source_ip="203.0.113.9") for _ in range(8)]
    events = [*denials, event(10, **{"source_ip": "203.0.113.9", **then})]
    facts = history.observe(events, now_s=NOW_S)
    counted = {
        choice: extract(events, facts, Windows(**{window: choice})).values
        for choice in kept_windows(window)
    }
    column = NAMES.index(feature)
    # Eight, an hour later: all but gone within 15 minutes, a third of them within the hour.
    assert counted["15m"][-1, column] == pytest.approx(log2(1 + 8 * exp(-4)), abs=0.01)
    assert counted["1h"][-1, column] == pytest.approx(log2(1 + 8 * exp(-1)), abs=0.01)
    moved = (counted["15m"] != counted["1h"]).any(axis=0)
    also = {"user_failures", "success_after_failures"} if window == "failures" else {feature}
    assert {name for name, other in zip(NAMES, moved, strict=True) if other} <= also


def test_windows_need_facts_that_the_history_keeps() -> None:
    assert needed_facts(Windows()) == {
        "user_failures_15m", "address_failures_15m", "user_failures_1d", "address_failures_1d",
        "mfa_denials_15m",
    }  # fmt: skip
    for window in Windows.__struct_fields__:
        for choice in kept_windows(window):
            assert needed_facts(Windows(**{window: choice})) <= set(FACTS)


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        (Windows(failures="7d"), "feature window failures: .* 15m or 1h or 1d, got '7d'"),
        (Windows(denials="1d"), "feature window denials: .* 15m or 1h, got '1d'"),
    ],
)
def test_a_window_that_the_history_lacks_is_named(windows: Windows, told: str) -> None:
    with pytest.raises(UnknownWindow, match=told):
        needed_facts(windows)


def test_what_the_source_counted() -> None:
    assert last(office(), event(9, failed_attempts=15))["reported_attempts"] == 4


def test_denied_second_factors() -> None:
    denials = [event(9 + n / 60, outcome="failure", action="mfa") for n in range(8)]
    assert last(office(), *denials, event(9.2))["mfa_denials"] > 2
    wrong_passwords = [event(9 + n / 60, outcome="failure") for n in range(8)]
    assert last(office(), *wrong_passwords, event(9.2))["mfa_denials"] == 0


def test_a_large_transfer_by_the_users_own_scale() -> None:
    history = office(action="transfer", bytes_transferred=1_000_000)
    big: dict[str, Any] = {"action": "transfer", "bytes_transferred": 5_000_000_000}
    assert last(history, event(9, **big))["bytes_user"] > 10
    mover = office(action="transfer", bytes_transferred=5_000_000_000)
    assert last(mover, event(9, **big))["bytes_user"] == 0
    small = event(9, action="transfer", bytes_transferred=10)
    assert last(history, small)["bytes_user"] == 0


@pytest.mark.parametrize(
    ("feature", "fields"),
    [
        ("country_user_bits", {"country": "SG"}),
        ("network_user_bits", {"asn": 64500}),
        ("device_user_bits", {"device_id": "stolen"}),
        ("resource_user_bits", {"resource": "payroll"}),
        ("address_user_bits", {"source_ip": "198.51.100.1"}),
        ("agent_user_bits", {"user_agent": "curl/8.5.0"}),
        ("method_user_bits", {"auth_method": "password"}),
        ("kind_user_bits", {"auth_kind": "service"}),
        ("mfa_user_bits", {"mfa": False}),
    ],
)
def test_new_values_are_rare_and_known_ones_are_not(feature: str, fields: dict[str, Any]) -> None:
    assert last(office(), event(9, **fields))[feature] > 2
    assert last(office(), event(9))[feature] == 0


def test_case_and_versions_are_nothing_new() -> None:
    update = "Mozilla/5.0 (X11; Linux x86_64) Firefox/132.0"
    features = last(office(), event(9, country="de", user_agent=update))
    assert features["country_user_bits"] == features["agent_user_bits"] == 0


def test_missing_fields_are_nothing_strange() -> None:
    bare = AuthEvent(MONDAY + timedelta(hours=9), "ana", "success", event_id="bare")
    features = last(office(), bare)
    assert {name: value for name, value in features.items() if value > 1} == {}


def test_to_an_empty_history_everything_is_new_and_nothing_surprising() -> None:
    assert not any(last(EmbeddedHistory(), event(9)).values())
    failed = last(EmbeddedHistory(), event(9, outcome="failure"))
    assert {n for n, value in failed.items() if value > 0} == {"user_new", "outcome_bits"}


def test_a_session_that_goes_on_elsewhere() -> None:
    history = office(session_id="s")
    stolen = {"device_id": "thief's", "user_agent": "curl/8.5.0", "asn": 64500}
    stays = last(history, event(9, session_id="t"), event(9.1, session_id="t"))
    moved = last(history, event(9.2, session_id="t", **stolen))
    roams = last(history, event(9.3, session_id="t", asn=64501))
    names = ("session_device", "session_agent", "session_network")
    assert [stays[name] for name in names] == [0, 0, 0]
    assert all(moved[name] > 4 for name in names)
    assert [roams[name] > 4 for name in names] == [False, False, True]
    anew = last(history, event(9.4, session_id="u", **stolen))
    assert [anew[name] for name in names] == [0, 0, 0]


def test_new_resources_in_a_row() -> None:
    history = office(resource="wiki")
    for day in range(5):  # now and then a new one is nothing
        learn(history, [event(24 * 7 * day + 9, resource=f"new{day}")])
    monday = 24 * 7 * 6 + 9
    row = [last(history, event(monday + n / 3, resource=f"host{n}")) for n in range(8)]
    assert row[0]["new_day"] < 1 < row[-1]["new_day"]
    assert row[-1]["new_week"] > 1
    known = last(history, event(monday + 3, resource="wiki"))
    assert known["new_day"] == known["new_week"] == 0  # adds nothing to the sum


def test_many_transfers_of_ordinary_size() -> None:
    history = office(action="transfer", bytes_transferred=1_000_000)
    copy: dict[str, Any] = {"action": "transfer", "bytes_transferred": 1_500_000}
    each = [last(history, event(9 + n / 10, **copy)) for n in range(40)]
    assert each[-1]["bytes_user"] < 2
    assert each[0]["bytes_day"] < 1.5
    assert each[-1]["bytes_day"] > 4


def test_a_slow_ramp_is_seen_against_the_long_memory() -> None:
    def ramped(daily: float) -> dict[str, float]:
        history = office(action="transfer", bytes_transferred=1_000_000)
        for day in range(60):
            amount = int(1_000_000 * daily ** min(day, 40))
            at = 24 * day + 9
            learn(history, [event(at, action="transfer", bytes_transferred=amount)])
        theft = event(24 * 60 + 9, action="transfer", bytes_transferred=100_000_000)
        return last(history, theft)

    steady, led_astray = ramped(1.0), ramped(1.12)
    assert steady["bytes_user"] > 10 > 4 > led_astray["bytes_user"]
    assert steady["bytes_drift"] == 0
    assert led_astray["bytes_user"] + led_astray["bytes_drift"] > 5


def test_a_failure_of_somebody_who_never_fails() -> None:
    assert last(office(), event(9, outcome="failure"))["outcome_bits"] > 3
    assert last(office(), event(9))["outcome_bits"] == 0


def test_what_features_say_of_themselves() -> None:
    assert len(FEATURES) >= 20
    assert {f.family for f in FEATURES} == {
        "temporal", "geographic", "behavioural", "failure", "access", "session", "accumulated",
        "campaign",
    }  # fmt: skip
    assert len(set(NAMES)) == len(NAMES)
    assert all(f.unit and f.meaning and f.reason for f in FEATURES)
    assert all(f.never_ordinary > 0 for f in FEATURES)


def test_a_batch_is_what_was_asked_for() -> None:
    events = [event(9), event(10)]
    batch = extract(events, office().observe(events, now_s=NOW_S))
    assert batch.event_ids == tuple(e.event_id for e in events)
    assert batch.names == NAMES
    assert batch.schema == SCHEMA
    assert batch.values.shape == (2, len(FEATURES))
    assert batch.values.dtype == np.float32


def test_plain_attacks_are_never_ordinary() -> None:
    events = [event(9), event(9.7, **SINGAPORE), event(10, failed_attempts=50)]
    values = extract(events, office().observe(events, now_s=NOW_S)).values
    assert plain(values).tolist() == [True, False, False]
    assert plain(values[:0]).tolist() == []


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


EVENTS = st.builds(
    AuthEvent,
    timestamp=st.datetimes(datetime(2000, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    user_id=st.sampled_from(["ana", "bo", "\U0001f600", " "]),
    outcome=st.sampled_from(["success", "failure"]),
    event_id=st.sampled_from("abcdefghijkl"),
    action=st.sampled_from(["login", "access", "transfer", "mfa", "logout"]),
    auth_kind=st.sampled_from(["interactive", "token", "service"]),
    source_ip=optional(st.sampled_from(["192.0.2.1", "2001:db8::1"])),
    country=optional(st.sampled_from(["DE", "de", "XX"])),
    latitude=optional(st.sampled_from([-90.0, 0.0, 52.5, 90.0])),
    longitude=optional(st.sampled_from([-180.0, -0.0, 13.4, 180.0])),
    asn=optional(st.sampled_from([0, 1, 2**32 - 1])),
    device_id=optional(st.sampled_from(["", "d", "\u0000"])),
    user_agent=optional(st.text(max_size=40)),
    auth_method=optional(st.sampled_from(["password", "sso", "mfa", "key", "token"])),
    mfa=optional(st.booleans()),
    resource=optional(st.text(max_size=3)),
    bytes_transferred=optional(st.sampled_from([0, 1, 10**6, 2**53])),
    failed_attempts=optional(st.sampled_from([0, 1, 2**53])),
)


@settings(max_examples=200)
@given(st.lists(st.lists(EVENTS, max_size=6), max_size=5), st.sets(st.sampled_from("abcdefghijkl")))
def test_any_events_give_features_in_range(
    batches: list[list[AuthEvent]], learnable: set[str]
) -> None:
    history = EmbeddedHistory()
    for batch in batches:
        values = extract(batch, history.observe(batch, now_s=NOW_S)).values
        assert values.shape == (len(batch), len(FEATURES))
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert (values <= CAP).all()
        history.learn(learnable)
