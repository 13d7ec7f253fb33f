"""Peers and tenant: who else uses what is new to a user, and who has just begun to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from math import log2
from typing import Any

import numpy as np
import pytest

from preprocessing.crowd import LEAST_PEERS, SLOTS, Crowd, peer_bits, slot, tenant_bits
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import NAMES, extract
from preprocessing.history import SHARED

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
RESOURCE = SHARED.index("resource")
MONTH_S = 30 * 86400.0
BERLIN: dict[str, Any] = {"country": "DE", "latitude": 52.52, "longitude": 13.4}
LISBON: dict[str, Any] = {"country": "PT", "latitude": 38.72, "longitude": -9.14}
OFFICE: dict[str, Any] = {"asn": 64501, "source_ip": "198.51.100.7", **LISBON}

_ids = count()


def event(user: str, hours: float, **fields: Any) -> AuthEvent:
    known = {"outcome": "success", "asn": 3320, "source_ip": f"192.0.2.{user[1:]}", **BERLIN}
    known |= {"device_id": f"{user}'s", "event_id": str(next(_ids)), "resource": "mail"}
    return AuthEvent(MONDAY + timedelta(hours=hours), **{"user_id": user, **known, **fields})


def company(teams: dict[str, tuple[str, ...]], size: int = 12) -> EmbeddedHistory:
    """A history of teams of ``size``, in which everybody uses all of their team's resources."""
    history = EmbeddedHistory()
    for days in range(-20, -3):
        batch = [
            event(f"u{size * team + person}", 24 * days, resource=resource)
            for team, resources in enumerate(teams.values())
            for person in range(size)
            for resource in (*resources, "mail")
        ]
        history.observe(batch, now_s=0.0)
        history.learn(e.event_id for e in batch)
    return history


@pytest.fixture(name="history")
def two_teams() -> EmbeddedHistory:
    history = company({"builders": ("git", "ci", "wiki"), "payers": ("ledger", "bank", "tax")})
    # One payer alone keeps the archive, and four builders, not all, the board.
    some = [event(f"u{person}", -60, resource="board") for person in (1, 2, 3, 4) for _ in "ab"]
    some += [event("u13", -60, resource="archive") for _ in "ab"]
    late = [event(f"u{person}", -0.1) for person in (1, 2, 3, 4, 13)]
    history.observe(some + late, now_s=0.0)
    history.learn(e.event_id for e in some + late)
    return history


def features(history: EmbeddedHistory, *events: AuthEvent) -> dict[str, float]:
    """Features of the last of the events, which are observed but not learned."""
    values = extract(events, history.observe(events, now_s=0.0)).values[-1]
    return dict(zip(NAMES, values.tolist(), strict=True))


def test_what_peers_use_is_less_surprising_than_what_others_use(history: EmbeddedHistory) -> None:
    board = features(history, event("u0", 1, resource="board"))
    ledger = features(history, event("u0", 1, resource="ledger"))
    assert board["resource_user_bits"] == ledger["resource_user_bits"] > 2
    # 4 of 11 peers use the board, none the ledger, which half of the tenant uses.
    assert board["resource_peer_bits"] < 2
    assert ledger["resource_peer_bits"] > 3
    assert ledger["resource_tenant_bits"] < 1.2 < 2 < board["resource_tenant_bits"]


def test_what_hardly_anybody_uses_is_rare_in_the_tenant(history: EmbeddedHistory) -> None:
    archive = features(history, event("u0", 1, resource="archive"))
    assert archive["resource_tenant_bits"] == pytest.approx(log2(25 / 2), abs=0.01)
    assert archive["resource_peer_bits"] > 5


def test_a_habit_is_no_surprise_however_rare(history: EmbeddedHistory) -> None:
    archive = features(history, event("u13", 1, resource="archive"))
    assert archive["resource_peer_bits"] == archive["resource_tenant_bits"] == 0


def test_of_a_newcomer_only_the_tenant_can_say(history: EmbeddedHistory) -> None:
    new = features(history, event("u99", 1, resource="ledger", auth_method="key"))
    assert new["resource_peer_bits"] == 0
    assert new["resource_tenant_bits"] == pytest.approx(log2(25 / 13), abs=0.01)
    assert new["method_others_bits"] > 4  # nobody else uses keys


def test_a_new_office_is_news_for_two_days(history: EmbeddedHistory) -> None:
    first = features(history, event("u0", 1, **OFFICE))
    movers = [event(f"u{person}", 2, **OFFICE) for person in range(1, 11)]
    tenth = features(history, *movers, event("u11", 3, **OFFICE))
    for name in ("network_user_bits", "network_others_bits", "country_user_bits"):
        assert tenth[name] < first[name] / 3, name
    assert tenth["home_distance"] < first["home_distance"] - 1.5
    assert tenth["travel_speed"] == 0 < first["travel_speed"]


def test_three_others_at_an_address_make_its_place_ordinary(history: EmbeddedHistory) -> None:
    first = features(history, event("u0", 1, **OFFICE))
    third = features(history, event("u1", 2, **OFFICE), event("u2", 3, **OFFICE))
    fourth = features(history, event("u3", 3, **OFFICE))
    elsewhere = features(history, event("u4", 3, **{**OFFICE, "source_ip": "198.51.100.8"}))
    for name in ("network_user_bits", "country_user_bits", "network_others_bits"):
        assert fourth[name] < first[name] / 2 < third[name], name
        assert fourth[name] < elsewhere[name], name


def test_one_machine_with_many_passwords_is_no_adoption(history: EmbeddedHistory) -> None:
    thief = {**OFFICE, "device_id": "thief's"}
    first = features(history, event("u0", 1, **thief))
    stolen = [event(f"u{person}", 2, **thief) for person in range(1, 11)]
    tenth = features(history, *stolen, event("u11", 3, **thief))
    for name in ("network_user_bits", "network_others_bits", "country_user_bits", "home_distance"):
        assert tenth[name] == first[name], name


def test_failures_are_no_adoption(history: EmbeddedHistory) -> None:
    first = features(history, event("u0", 1, **OFFICE))
    failing = [event(f"u{person}", 2, outcome="failure", **OFFICE) for person in range(1, 11)]
    later = features(history, *failing, event("u11", 3, **OFFICE))
    assert later["network_user_bits"] == first["network_user_bits"]


def test_what_many_used_before_is_not_on_the_rise(history: EmbeddedHistory) -> None:
    """Thefts of one kind, from the users' own machines: the target had its users before."""
    first = features(history, event("u0", 1, resource="ledger"))
    thefts = [event(f"u{person}", 2, resource="ledger") for person in range(1, 8)]
    eighth = features(history, *thefts, event("u9", 3, resource="ledger"))
    assert eighth["resource_user_bits"] == first["resource_user_bits"]


def test_an_update_of_all_browsers_is_soon_no_surprise(history: EmbeddedHistory) -> None:
    before = [event(f"u{person}", -1, user_agent="Chrome/1") for person in range(24) for _ in "ab"]
    history.observe(before, now_s=0.0)
    history.learn(e.event_id for e in before)
    first = features(history, event("u0", 1, user_agent="Firefox/1"))
    updated = [event(f"u{person}", 2, user_agent="Firefox/1") for person in range(1, 12)]
    later = features(history, *updated, event("u13", 3, user_agent="Firefox/1"))
    assert later["agent_user_bits"] < first["agent_user_bits"] / 3


def test_adoption_is_forgotten(history: EmbeddedHistory) -> None:
    movers = [event(f"u{person}", 2, **OFFICE) for person in range(1, 11)]
    at_once = features(history, *movers, event("u11", 3, **OFFICE))
    weeks_later = features(history, event("u0", 24 * 14, **OFFICE))
    assert weeks_later["network_user_bits"] > 3 * at_once["network_user_bits"]


def test_a_crowd_forgets_after_two_periods() -> None:
    crowd = Crowd()
    crowd.turn(MONTH_S, MONTH_S)
    crowd.add(RESOURCE, "git", 5, 10)
    for at_s, known in ((1.5, True), (2.5, True), (3.5, False)):
        crowd.turn(at_s * MONTH_S, MONTH_S)
        assert bool(crowd.users(RESOURCE, "git")) == known


def test_a_crowd_holds_only_so_many_values() -> None:
    crowd = Crowd()
    for number in range(5):
        crowd.add(RESOURCE, f"r{number}", 1, 3)
    assert [crowd.users(RESOURCE, f"r{n}") for n in range(5)] == [2, 2, 2, 0, 0]


def test_peers_are_those_who_share_most() -> None:
    crowd = Crowd()
    for bit in range(40):
        crowd.join(bit)
        crowd.add(RESOURCE, "mail", bit, 10)
        for resource in ("git", "ci") if bit < 10 else ("git",) if bit < 18 else ("crm",):
            crowd.add(RESOURCE, resource, bit, 10)
    assert crowd.peers(["mail", "git", "ci"], own=1).bit_count() == 9
    assert crowd.peers(["mail", "git"], own=1).bit_count() == 17
    assert crowd.peers(["mail"], own=1) == 0  # everybody's
    assert crowd.peers([], own=1) == 0
    assert LEAST_PEERS <= 9


def test_without_peers_only_the_tenant_speaks() -> None:
    assert peer_bits(0b1, 0b1111, 0) == 0.0
    assert tenant_bits(0, 0) == 0.0
    assert tenant_bits(0b1, 0b1111111) == 2.0


def test_large_tenants_take_a_sample_always_the_same() -> None:
    names = [f"user{number}" for number in range(20_000)]
    bits = np.array([slot(name, 20_000) for name in names])
    assert 150 < (bits >= 0).sum() < 620
    assert bits.max() < SLOTS
    assert all(slot(name, 100) >= 0 for name in names[:100])
    smaller = {name for name in names if slot(name, 5_000) >= 0}
    assert {name for name, bit in zip(names, bits, strict=True) if bit >= 0} <= smaller


def test_a_place_counts_half_on_the_own_device_after_a_possible_journey(
    history: EmbeddedHistory,
) -> None:
    abroad: dict[str, Any] = {"asn": 64777, "source_ip": "203.0.113.9", **LISBON}
    own = features(history, event("u3", 8, **abroad))
    other = features(history, event("u4", 8, device_id="another", **abroad))
    teleported = features(history, event("u1", 0.1, **abroad))
    token = features(history, event("u1", 0.1, auth_kind="token", **abroad))
    for name in ("country_user_bits", "network_user_bits", "country_others_bits"):
        assert 0 < own[name] < 0.6 * other[name], name
        assert teleported[name] > 1.5 * own[name], name
        assert token[name] == pytest.approx(teleported[name], rel=0.05), name
    assert own["travel_distance"] == pytest.approx(other["travel_distance"], rel=0.01)
