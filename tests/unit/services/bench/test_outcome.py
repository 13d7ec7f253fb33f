"""Percentiles and rates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bench.outcome import Latency, Outcome, latency, percentile


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.floats(0.01, 1))
def test_a_percentile_is_a_value_with_that_share_at_or_below(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9


def test_nothing_measured() -> None:
    assert latency([]) == Latency()
    assert Outcome().requests_per_s == 0


def test_latency_in_milliseconds_of_unsorted_durations() -> None:
    told = latency([0.004, 0.001, 0.003, 0.002])
    assert (told.p50, told.p99, told.max) == (2.0, 4.0, 4.0)


def test_rates_and_errors() -> None:
    outcome = Outcome(
        seconds=2.0, requests=10, events=10_000, statuses={"200": 11, "503": 2, "refused": 1},
        degraded=3, refused=1, cpu_s=0.5, elapsed_s=2.5,
    )  # fmt: skip
    assert outcome.requests_per_s == 5
    assert outcome.events_per_s == 5000
    assert outcome.generator_cores == pytest.approx(0.2)
    assert outcome.errors == 3 + 3 + 1
