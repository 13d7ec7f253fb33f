"""Token buckets, and that many callers do not fill the memory."""

from __future__ import annotations

from services.limits import Buckets


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_a_rate() -> None:
    clock = Hand()
    buckets = Buckets(clock)
    assert [buckets.spend("a", per_s=2, burst=3) for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now += 0.5
    assert buckets.spend("a", per_s=2, burst=3) == 0
    assert buckets.spend("b", per_s=2, burst=3) == 0


def test_a_burst_of_less_than_one_is_one() -> None:
    clock = Hand()
    buckets = Buckets(clock)
    assert buckets.spend("a", per_s=0.1, burst=0.1) == 0
    assert buckets.spend("a", per_s=0.1, burst=0.1) == 10


def test_being_refused_costs_nothing() -> None:
    clock = Hand()
    buckets = Buckets(clock)
    for _ in range(100):
        buckets.spend("a", per_s=1, burst=1)
    clock.now += 1
    assert buckets.spend("a", per_s=1, burst=1) == 0


def test_whoever_has_not_asked_for_longest_is_forgotten_first() -> None:
    buckets = Buckets(Hand(), most_callers=2)
    for caller in ("a", "b", "a", "c"):
        buckets.spend(caller, per_s=0.001, burst=1)
    assert len(buckets._buckets) == 2
    assert buckets.spend("a", per_s=0.001, burst=1) > 0
    assert buckets.spend("b", per_s=0.001, burst=1) == 0
