"""Trails: steps of a user's last events, the same in whatever batches they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.history import FACTS, Facts, HistorySettings, UserHistory
from preprocessing.journal import JournaledHistory
from preprocessing.trail import FIELDS, LENGTH, SIZE, WIDTH, Trails, alone, mark, steps
from preprocessing.values import values_of

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
NOW_S = START.timestamp()
NAMES = [field.name for field in FIELDS]


def event(name: str, minutes: float = 0.0, **fields: Any) -> AuthEvent:
    at = START + timedelta(minutes=minutes)
    return AuthEvent(at, **{"user_id": "ana", "outcome": "success", "event_id": name} | fields)


def stream(count: int) -> list[AuthEvent]:
    """Three users in turn; every fifth event fails, every seventh is on another device."""
    return [
        event(
            f"e{index}",
            index * 3.0,
            user_id=("ana", "ben", "cleo")[index % 3],
            outcome="failure" if index % 5 == 0 else "success",
            device_id="phone" if index % 7 == 0 else "laptop",
            session_id=f"s{index // 6}",
            bytes_transferred=index * 1000,
        )
        for index in range(count)
    ]


def trails(history: UserHistory, *events: AuthEvent) -> Trails:
    return history.observe(events, now_s=NOW_S).trails


def byte(trail: Trails, name: str, step: int = -1) -> int:
    return int(trail[step, NAMES.index(name)])


def length(trail: Trails) -> int:
    """Steps that are there."""
    return int(trail.any(axis=1).sum())


def test_a_first_event_stands_alone() -> None:
    (trail,) = trails(EmbeddedHistory(), event("one"))
    assert trail.shape == (LENGTH, WIDTH)
    assert trail.dtype == np.uint8
    assert not trail[:-1].any()
    assert byte(trail, "failed") == 1
    assert byte(trail, "session_link") == 0, "the event tells no session"


def test_events_of_one_batch_see_each_other_and_no_later_one() -> None:
    events = stream(60)
    together = trails(EmbeddedHistory(), *events)
    history = EmbeddedHistory()
    apart = np.concatenate([trails(history, each) for each in events])
    np.testing.assert_array_equal(together, apart)
    ana = together[::3]
    np.testing.assert_array_equal(ana[5][-6:, :], ana[:6, -1, :])
    assert length(ana[-1]) == 16, "a full trail holds the last sixteen"


def test_links_are_equal_where_the_values_are() -> None:
    first, second, third = trails(
        EmbeddedHistory(),
        event("a", device_id="laptop", session_id="s1"),
        event("b", device_id="laptop", session_id="s2"),
        event("c", device_id="phone", session_id="s1"),
    )
    assert byte(first, "device_link") == byte(second, "device_link") != byte(third, "device_link")
    assert byte(first, "session_link") == byte(third, "session_link")
    assert byte(first, "session_link") != byte(second, "session_link")


def test_a_repeated_id_and_a_late_event_join_no_trail() -> None:
    history = EmbeddedHistory()
    trails(history, event("one"), event("two", 60.0))
    repeated, late = trails(history, event("two", 60.0), event("late", -60.0))
    (after,) = trails(history, event("three", 61.0))
    assert [length(trail) for trail in (repeated, late, after)] == [3, 3, 3]


def test_levels_are_whole_units_up_to_the_last() -> None:
    facts = np.zeros((4, len(FACTS)))
    facts[:, FACTS.index("device_user_bits")] = [0.0, 0.9, 3.2, 99.0]
    facts[:, FACTS.index("gap_s")] = [0.0, 29.0, 90.0, 1e12]
    facts[:, FACTS.index("events_1h")] = [0.0, 7.0, 7.0, 0.0]
    facts[:, FACTS.index("usual_events_1h")] = [5.0, 0.0, 2.0, 0.0]
    step = steps(facts, bytes(4 * len(mark(event("any"), values_of(event("any"))))))
    assert step[:, NAMES.index("device")].tolist() == [1, 1, 4, 8]
    assert step[:, NAMES.index("gap")].tolist() == [1, 1, 3, 16]
    assert step[:, NAMES.index("rate")].tolist() == [1, 4, 2, 1]


def test_nothing_but_the_event_itself_is_left_alone() -> None:
    both = trails(EmbeddedHistory(), event("one"), event("two"))
    bare = alone(both)
    np.testing.assert_array_equal(bare[:, -1], both[:, -1])
    assert not bare[:, :-1].any()


@pytest.mark.parametrize("size", [1, 6, 60])
def test_a_trail_outlives_its_process(size: int, tmp_path: Path) -> None:
    events = stream(90)
    whole = trails(EmbeddedHistory(), *events)
    history = JournaledHistory(tmp_path)
    for start in range(0, 60, size):
        trails(history, *events[start : start + size])
    history.flush()
    # As after kill -9: no snapshot was written at the end, the journal tells it all.
    history._closed = True
    history._appender.close()
    history._directory.close()
    restarted = JournaledHistory(tmp_path)
    assert restarted.recovery.events == 60
    np.testing.assert_array_equal(trails(restarted, *events[60:]), whole[60:])
    restarted.close()


def test_a_snapshot_holds_trails() -> None:
    events = stream(90)
    whole = trails(EmbeddedHistory(), *events)
    history, other = EmbeddedHistory(), EmbeddedHistory()
    trails(history, *events[:50])
    other.restore(history.snapshot(seen=False))
    np.testing.assert_array_equal(trails(other, *events[50:]), whole[50:])


def test_memory_of_a_trail_is_bounded() -> None:
    history = EmbeddedHistory(HistorySettings())
    trails(history, *(event(f"e{index}", index) for index in range(100)))
    user = history._state.users.get("ana")
    assert user is not None
    assert len(user.trail) == SIZE <= 320


def test_no_events_have_no_trails() -> None:
    facts: Facts = EmbeddedHistory().observe([], now_s=NOW_S)
    assert facts.trails.shape == (0, LENGTH, WIDTH)
