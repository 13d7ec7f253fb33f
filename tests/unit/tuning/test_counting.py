from datetime import UTC, datetime, timedelta

import numpy as np

from preprocessing.event import AuthEvent
from tuning.counting import Users, alerts, objective, recall, resampled, with_made

START = datetime(2026, 6, 1, 23, tzinfo=UTC)
EVENTS = [
    AuthEvent(START + timedelta(hours=hours), user, "success")
    for hours, user in [(0, "ann"), (0.5, "bob"), (1, "ann"), (2, "ann"), (30, "bob")]
]


def test_counts_are_by_user_and_days_those_with_a_judged_event() -> None:
    judged = np.array([True, True, True, True, False])
    anomalous = np.array([True, False, True, False, True])
    alerted = np.array([True, True, False, False, True])
    users = Users.of_events(EVENTS, judged)
    ann, bob = users.counts(alerted, judged, anomalous).tolist()
    assert ann == [1, 2, 0, 2], "caught, to be caught, false alerts, days"
    assert bob == [0, 0, 1, 1]


def test_what_was_made_is_caught_or_not_and_nobodys_day() -> None:
    counts = with_made(np.array([[0.0, 0.0, 3.0, 10.0]]), np.array([True, False, True, True]))
    sums = counts.sum(axis=0)
    assert (float(recall(sums)), float(alerts(sums))) == (0.75, 300.0)
    assert objective(sums, allowed=100.0) == 0.25


def test_resamples_are_of_whole_users() -> None:
    counts = np.array([[1.0, 1, 0, 1], [0, 1, 0, 1]])
    drawn = resampled(counts, 500, seed=3)
    assert set(drawn[:, 0].tolist()) == {0.0, 1.0, 2.0}
    assert (drawn[:, 1] == 2).all(), "as many as there are"
    assert abs(recall(drawn).mean() - 0.5) < 0.05
    both = resampled(np.stack([counts, counts]), 500, seed=3)
    assert np.array_equal(both[0], drawn)
    assert np.array_equal(both[1], drawn)
