"""Active users and flagged events by day, in little memory."""

from __future__ import annotations

import numpy as np
import pytest

from services.realised import DAY_S, MOST_DAYS, Realised

TODAY = 20_000


def realised() -> Realised:
    """Noon of TODAY."""
    return Realised(lambda: (TODAY + 0.5) * DAY_S)


def add(counts: Realised, day: int, users: list[str], flagged: tuple[int, ...] = ()) -> None:
    counts.add(users, np.full(len(users), (day + 0.25) * DAY_S), flagged)


@pytest.mark.parametrize("users", [1, 40, 1_000, 30_000, 300_000])
def test_users_are_counted_once(users: int) -> None:
    counts = realised()
    names = [f"user-{index}@example.com" for index in range(users)]
    for _ in range(2):
        add(counts, TODAY, names)
    day = counts.running()
    assert day is not None
    # Five standard errors.
    assert day.users == pytest.approx(users, rel=0.04, abs=0.5)


def test_alerts_per_1000_active_users() -> None:
    counts = realised()
    add(counts, TODAY - 1, [f"u{index}" for index in range(200)], flagged=(3, 7))
    add(counts, TODAY, ["a", "b", "a", "b"], flagged=(0, 2))
    last, running = counts.last(), counts.running()
    assert last is not None
    assert running is not None
    assert (last.number, last.flagged) == (TODAY - 1, 2)
    assert last.per_1000 == pytest.approx(10.0, rel=0.02)
    assert running.per_1000 == pytest.approx(1000.0, rel=0.02)


def test_nothing_yet() -> None:
    counts = realised()
    counts.add([], np.array([]), [])
    assert counts.running() is None
    assert counts.last() is None


def test_events_of_several_days_in_one_batch() -> None:
    counts = realised()
    stamps = np.array([TODAY - 1, TODAY, TODAY - 1, TODAY]) * DAY_S
    counts.add(["a", "b", "c", "b"], stamps, [0, 1])
    last, running = counts.last(), counts.running()
    assert last is not None
    assert running is not None
    assert (round(last.users), last.flagged) == (2, 1)
    assert (round(running.users), running.flagged) == (1, 1)


def test_a_day_to_come_is_not_the_running_one_before_it_begins() -> None:
    now = [(TODAY + 0.99) * DAY_S]
    counts = Realised(lambda: now[0])
    add(counts, TODAY, ["a"])
    add(counts, TODAY + 1, ["b"], flagged=(0,))
    running = counts.running()
    assert running is not None
    assert running.number == TODAY
    now[0] += 0.02 * DAY_S
    running, last = counts.running(), counts.last()
    assert running is not None
    assert last is not None
    assert (running.number, last.number) == (TODAY + 1, TODAY)


def test_memory_is_bounded_and_old_days_change_nothing() -> None:
    counts = realised()
    for day in range(TODAY - 10, TODAY + 1):
        add(counts, day, ["a"])
    add(counts, TODAY - 10, ["b"])
    assert len(counts.encode()) < MOST_DAYS * 17_000
    last = counts.last()
    assert last is not None
    assert (last.number, round(last.users)) == (TODAY - 1, 1)


def test_a_batch_of_a_thousand_days() -> None:
    counts = realised()
    counts.add(["a"] * 1000, np.arange(TODAY - 999, TODAY + 1, dtype=np.float64) * DAY_S, [999])
    running = counts.running()
    assert running is not None
    assert (running.number, running.flagged) == (TODAY, 1)


def test_goes_on_after_a_restart() -> None:
    before, after = realised(), realised()
    add(before, TODAY, ["a", "b"], flagged=(0,))
    after.restore(before.encode())
    add(after, TODAY, ["b", "c"])
    day = after.running()
    assert day is not None
    assert (round(day.users), day.flagged) == (3, 1)


@pytest.mark.parametrize("encoded", [b"", b"\x93", b"\x91\x93\x01\x02\xc4\x01\x00"])
def test_what_is_no_count(encoded: bytes) -> None:
    with pytest.raises(ValueError, match="not a count of active users"):
        realised().restore(encoded)
