from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from preprocessing.accumulated import SUMS
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.history import FACTS, Evidence
from preprocessing.typical import Typical
from preprocessing.values import agent_family

NOW_S = 4e9
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
BERLIN: dict[str, Any] = {
    "country": "DE", "city": "Berlin", "latitude": 52.52, "longitude": 13.4, "asn": 3320,
    "source_ip": "93.184.0.1",
}  # fmt: skip
SINGAPORE: dict[str, Any] = {
    "country": "SG", "city": "Singapore", "latitude": 1.35, "longitude": 103.8, "asn": 4773,
    "source_ip": "119.74.1.1",
}  # fmt: skip
USUALLY: dict[str, Any] = BERLIN | {
    "device_id": "laptop", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/139.0",
    "auth_method": "sso", "mfa": True, "resource": "crm", "bytes_transferred": 1000,
}  # fmt: skip


def event(name: str, at: datetime, **fields: Any) -> AuthEvent:
    given = USUALLY | {"event_id": name, "timestamp": at, "user_id": "ann", "outcome": "success"}
    return AuthEvent(**given | fields)


def history_of_ann() -> EmbeddedHistory:
    """Four weeks of Mondays to Fridays at nine, from Berlin."""
    history = EmbeddedHistory()
    for day in range(28):
        at = MONDAY + timedelta(days=day)
        if at.weekday() < 5:
            history.observe([event(f"d{day}", at)], now_s=NOW_S)
            history.learn([f"d{day}"])
    return history


def known_of(history: EmbeddedHistory, of: AuthEvent) -> Evidence:
    facts = history.observe([of], now_s=NOW_S)
    return history.with_typical(history.evidence(of, facts, 0))


def test_everything_strange_becomes_usual() -> None:
    night = MONDAY + timedelta(days=33, hours=-6)  # a Saturday, three in the morning
    strange = event(
        "x", night, **SINGAPORE, device_id="burner", user_agent="curl/8", auth_method="password",
        mfa=False, resource="payroll", bytes_transferred=10**9,
    )  # fmt: skip
    typical = Typical.decode(known_of(history_of_ann(), strange).typical)
    told = typical.event
    assert (told.country, told.city, told.asn, told.source_ip) == (
        "DE", "Berlin", 3320, "93.184.0.1",
    )  # fmt: skip
    assert (told.device_id, told.user_agent) == ("laptop", "Firefox on Linux")
    assert (told.auth_method, told.mfa, told.resource) == ("sso", True, "crm")
    assert told.bytes_transferred == 1000
    assert told.timestamp.strftime("%a %H:%M") == "Mon 09:00"
    assert typical.in_hours == pytest.approx(
        1.0, abs=0.01
    )  # an hour is smoothed into its neighbours
    assert (told.user_id, told.outcome, told.event_id) == ("ann", "success", "x")


def test_its_facts_are_those_of_that_very_event() -> None:
    """Nothing is guessed: the same history says the same of the event if it comes."""
    strange = event("x", MONDAY + timedelta(days=28), **SINGAPORE, device_id="burner")
    typical = Typical.decode(known_of(history_of_ann(), strange).typical)
    expected = history_of_ann().observe([typical.event], now_s=NOW_S).values[0]
    own = {"events_1h", "gap_s", *SUMS}  # the strange event itself came before
    same = [at for at, name in enumerate(FACTS) if name not in own]
    assert np.array(typical.facts)[same].tolist() == expected[same].tolist()


def test_what_an_event_does_not_tell_stays_untold_and_usual_values_stay() -> None:
    bare = AuthEvent(
        event_id="x", timestamp=MONDAY + timedelta(days=28), user_id="ann", outcome="success"
    )
    told = Typical.decode(known_of(history_of_ann(), bare).typical).event
    assert (told.device_id, told.resource, told.bytes_transferred, told.latitude) == (None,) * 4
    assert told.timestamp == bare.timestamp
    assert (told.country, told.source_ip) == (None, None)


def test_a_smaller_transfer_than_usual_needs_no_other_size() -> None:
    small = event("x", MONDAY + timedelta(days=28), bytes_transferred=10)
    told = Typical.decode(known_of(history_of_ann(), small).typical).event
    assert told.bytes_transferred == 10


def test_of_a_newcomer_nothing_is_usual() -> None:
    newcomer = event("x", MONDAY, user_id="bob")
    assert known_of(history_of_ann(), newcomer).typical == b""


def test_a_family_of_agents_is_its_own_family() -> None:
    """The usual agent is known by its family only."""
    agents = ("Mozilla/5.0 (Windows NT 10.0) Edg/126", "curl/8.1", "NTLM/Network", "Mac OS X 14")
    families = [agent_family(agent) for agent in agents]
    assert [agent_family(family) for family in families] == families
