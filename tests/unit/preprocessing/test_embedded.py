"""The embedded history beyond its contract: memory, snapshots of other processes, idle cost."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.history import FACTS, HistorySettings

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
NOW_S = START.timestamp()


def event(name: str, minutes: float = 0.0, **fields: Any) -> AuthEvent:
    at = START + timedelta(minutes=minutes)
    return AuthEvent(at, **{"user_id": "ana", "outcome": "success", "event_id": name} | fields)


@pytest.mark.parametrize(
    "fields",
    [{"outcome": "failure"}, {"user_id": "bo"}, {"resource": "payroll"}, {"bytes_transferred": 1}],
)
def test_other_content_under_a_known_id_is_counted(fields: dict[str, Any]) -> None:
    history = EmbeddedHistory()
    history.observe([event("x"), event("x"), event("x", **fields)], now_s=NOW_S)
    assert history.conflicts == 1


def test_the_same_content_is_known_to_another_process() -> None:
    """A stamp may not depend on the process, as Python's own hashes do."""
    script = (
        "import sys; from preprocessing.embedded import EmbeddedHistory as H;"
        "from preprocessing.event import decode_event as d; h = H();"
        "h.observe([d(sys.argv[1].encode(), now_s=2e9)], now_s=0);"
        "sys.stdout.buffer.write(h.snapshot())"
    )
    raw = msgspec.json.encode(event("x", city="Łódź")).decode()
    made = subprocess.run([sys.executable, "-c", script, raw], check=True, capture_output=True)
    history = EmbeddedHistory()
    history.restore(made.stdout)
    facts = history.observe([event("x", city="Łódź"), event("x", city="Kraków")], now_s=1.0)
    assert facts.duplicate.tolist() == [True, True]
    assert history.conflicts == 1


def test_users_are_counted() -> None:
    history = EmbeddedHistory()
    history.observe([event("a"), event("b", user_id="bo"), event("c")], now_s=NOW_S)
    assert history.users == 2
    history.learn("ab")
    assert history.users == 2


def test_a_snapshot_is_cut_to_smaller_bounds() -> None:
    large = EmbeddedHistory()
    names = [f"u{n}" for n in range(20)]
    events = [event(name, n, user_id=name, source_ip=f"10.0.0.{n}") for n, name in enumerate(names)]
    large.observe(events, now_s=NOW_S)
    large.learn(names[:12])
    bounds = HistorySettings(
        most_users=3, most_strangers=2, most_addresses=3, most_pending=1, most_seen=4
    )
    small = EmbeddedHistory(bounds)
    small.restore(large.snapshot())
    assert small.users == 5
    facts = small.observe(events[::-1], now_s=NOW_S)
    assert facts.duplicate.tolist() == [True] * 4 + [False] * 16
    learned = facts.values[:, FACTS.index("learned")]
    assert [name for name, count in zip(names[::-1], learned, strict=True) if count] == names[
        11:8:-1
    ]


def test_the_oldest_pending_events_are_given_up() -> None:
    history = EmbeddedHistory(HistorySettings(most_pending=2))
    history.observe([event("a"), event("b"), event("c")], now_s=NOW_S)
    assert history.learn("abc") == 2


def test_a_failure_before_any_success_teaches_no_habits() -> None:
    history = EmbeddedHistory()
    history.observe([event("a", outcome="failure", country="DE")], now_s=NOW_S)
    assert history.learn("a") == 1
    facts = history.observe([event("b", country="DE")], now_s=NOW_S)
    assert facts.values[0, FACTS.index("learned")] == 0


def test_failing_users_of_an_address_are_remembered_by_name_only_so_far() -> None:
    history = EmbeddedHistory()
    fields = {"outcome": "failure", "source_ip": "192.0.2.1"}
    spray = [event(f"{n}", n / 6000, user_id=f"u{n}", **fields) for n in range(400)]
    facts = history.observe(spray, now_s=NOW_S)
    assert facts.values[-1, FACTS.index("address_failing_users_1h")] == pytest.approx(399, abs=1)
    assert len(history.snapshot()) < 400 * 400
