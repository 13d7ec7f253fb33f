import numpy as np
import pytest

from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation.points import by_score, points

#: 400 users, each with one event on each of ten days; scores rise with day and user.
ROWS = [
    Row(f"u{user:03}", day, (day * 400 + user) / 4000.0) for day in range(10) for user in range(400)
]


def _alerted(name: str, rows: list[Row]) -> list[int]:
    found = {point.name: point for point in points(judged(rows), 0.9)}
    return np.flatnonzero(found[name].alerted).tolist()


@pytest.mark.parametrize(("a_day", "alerts"), [(10, 18), (50, 90), (100, 180)])
def test_alerts_are_scaled_by_users_and_days(a_day: int, alerts: int) -> None:
    # 400 users are a fifth of 2,000, and from the first event to the last nine days go by
    chosen = _alerted(f"per_2000_users_{a_day}", ROWS)
    assert chosen == list(range(4000 - alerts, 4000))


def test_the_threshold_is_the_least_alerted_score() -> None:
    found = {point.name: point for point in points(judged(ROWS), 0.9)}
    assert found["per_2000_users_10"].threshold == (4000 - 18) / 4000.0
    assert found["budget"].threshold == 0.9


def test_an_analyst_with_a_fixed_day_begins_at_the_top_of_each() -> None:
    chosen = _alerted("each_day_10", ROWS)
    assert chosen == [day * 400 + user for day in range(10) for user in range(390, 400)]


def test_the_budget_is_what_the_version_alerted() -> None:
    assert _alerted("budget", [Row("a", 0, 0.99), Row("a", 0, 0.1, flagged=True)]) == [1]


def test_one_percent_of_ordinary_events_and_every_attack_above_them() -> None:
    attacks = [Row("eve", 1, 0.995, kind="spray"), Row("eve", 1, 0.5, kind="spray")]
    chosen = _alerted("ordinary_1_percent", [*ROWS, *attacks])
    assert chosen == [*range(3960, 4000), 4000]


def test_equal_scores_are_taken_in_order_of_time() -> None:
    assert by_score(np.array([0.5, 0.9, 0.5]), np.array([9.0, 5.0, 1.0])).tolist() == [1, 2, 0]


def test_no_event_no_alert() -> None:
    assert all(not point.alerted.any() for point in points(judged([]), 0.9))
