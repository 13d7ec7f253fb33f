from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.budget import (
    DEFAULT_BUDGET,
    LEAST_ALERTS,
    events_per_active_user_day,
    kind_thresholds,
    threshold_for,
)
from preprocessing.event import AuthEvent, AuthKind

START = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)


def event(user: str, hours: float) -> AuthEvent:
    at = START + timedelta(hours=hours)
    return AuthEvent(timestamp=at, user_id=user, outcome="success")


def test_events_are_counted_per_user_and_utc_day() -> None:
    # ada: two today, one tomorrow (UTC); bob: one today.
    events = [event("ada", 0), event("ada", 1), event("ada", 3), event("bob", 0)]
    assert events_per_active_user_day(events) == pytest.approx(4 / 3)


def test_no_events_no_rate() -> None:
    assert events_per_active_user_day([]) == 0.0


@pytest.mark.parametrize(
    ("budget", "per_day", "threshold"),
    [(25, 10.0, 0.9975), (25, 1.0, 0.975), (1, 100.0, 0.99999), (0, 10.0, 1.0), (25, 0.0, 0.5)],
)
def test_threshold_keeps_the_promise(budget: float, per_day: float, threshold: float) -> None:
    assert threshold_for(budget, per_day) == pytest.approx(threshold)


@given(st.floats(0.01, 1000.0), st.floats(1.0, 1e4))
def test_ordinary_alerts_never_exceed_the_budget(budget: float, per_day: float) -> None:
    alerts = (1.0 - threshold_for(budget, per_day)) * per_day * 1000.0
    assert alerts <= budget * (1 + 1e-6)


def test_a_larger_budget_lowers_the_threshold() -> None:
    thresholds = [threshold_for(budget, 8.0) for budget in (5, DEFAULT_BUDGET, 100)]
    assert thresholds == sorted(thresholds, reverse=True)


def test_a_noisy_kind_of_session_keeps_to_its_share_and_a_quiet_one_gets_no_more() -> None:
    people, tokens = np.linspace(0.0, 0.996, 5_000), np.linspace(0.98, 1.0, 5_000)
    kinds: list[AuthKind] = ["interactive" for _ in people]
    kinds += ["token" for _ in tokens]
    found = kind_thresholds(np.append(people, tokens), kinds, 0.995)
    assert list(found) == ["token"]
    assert (tokens > 0.995).sum() == 1250
    assert (tokens > found["token"]).sum() == pytest.approx(25, abs=1)


@pytest.mark.parametrize(("strange", "own"), [(LEAST_ALERTS - 1, False), (LEAST_ALERTS, True)])
def test_a_few_strange_events_of_a_small_kind_may_be_one_campaign(strange: int, own: bool) -> None:
    scores = np.append(np.zeros(400), np.linspace(0.996, 0.999, strange))
    found = kind_thresholds(scores, ["service"] * len(scores), 0.995)
    assert ("service" in found) == own
