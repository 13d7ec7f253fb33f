from pathlib import Path

import pytest

from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.data import LabelsError
from tuning.evaluation.budget import Change, changes, read_changes, realised
from tuning.evaluation.judged import DAY_S
from tuning.evaluation.resampling import Clusters

USERS = [f"u{n}" for n in range(10)]


def _day(day: int, false: int, attacks: int = 0) -> list[Row]:
    """Ten users with an event each, and one attack on the first of them for each attack."""
    ordinary = [Row(user, day + 0.5, 0.5, flagged=n < false) for n, user in enumerate(USERS)]
    odd = [Row("u0", day + 0.6, 0.9, "theft", f"c{day}", flagged=n == 0) for n in range(attacks)]
    return [*ordinary, *odd]


def test_promised_against_realised_in_all_and_by_day() -> None:
    events = judged([*_day(0, false=1), *_day(1, false=0), *_day(2, false=2, attacks=2)])
    told = realised(events, 100.0, Clusters(events))
    assert told["promised"] == 100.0
    assert told["user_days"] == 30
    assert told["realised_on_ordinary"] == 1000 * 3 / 30
    assert told["realised_on_all"] == pytest.approx(1000 * 4 / 30)
    assert told["days_over"] == 1
    assert told["by_day"][2] == {
        "day": "1970-01-03",
        "user_days": 10,
        "alerts": 3,
        "false_alerts": 2,
        "realised_on_ordinary": 200.0,
        "realised_on_all": 300.0,
    }


def test_a_day_without_events_is_told_and_promises_nothing() -> None:
    events = judged([*_day(0, false=1), *_day(2, false=1)])
    told = realised(events, 25.0, Clusters(events))
    assert [row["user_days"] for row in told["by_day"]] == [10, 0, 10]
    assert told["by_day"][1]["realised_on_ordinary"] == 0.0


def test_days_after_a_change_are_relative_to_the_mean_before_it() -> None:
    rows = [*_day(0, 1, attacks=1), *_day(1, 3), *_day(2, 4, attacks=2), *_day(3, 3), *_day(4, 2)]
    events = judged(rows)
    change = Change(2 * DAY_S, ("office_move",))
    (told,) = changes(events, [change], Clusters(events))
    assert told["before"] == 200.0
    assert [row["relative"] for row in told["days"]] == [2.0, 1.5, 1.0]
    assert [row["day"] for row in told["days"]] == [0, 1, 2]
    assert told["worst_relative"] == 2.0
    assert told["back_after_days"] == 2
    assert told["settled_relative"] == 1.0
    found = {"events": 2, "events_alerted": 1, "campaigns": 1, "campaigns_found": 1}
    assert told["attacks_after"] == found
    assert told["attacks_before"]["campaigns"] == 1


def test_a_change_outside_the_judged_span_has_no_before_or_after() -> None:
    events = judged(_day(5, 1))
    known = [Change(0.0, ("early",)), Change(9 * DAY_S, ("late",))]
    assert changes(events, known, Clusters(events)) == []


def test_changes_of_one_moment_are_one(tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    path.write_text(
        '{"changes": [{"kind": "a", "at": "1970-01-02T00:00:00Z", "users": 3},'
        ' {"kind": "b", "at": "1970-01-02T00:00:00Z", "users": 1}]}'
    )
    assert read_changes(path) == [Change(DAY_S, ("a", "b"))]
    path.write_text('{"seed": 1}')
    assert read_changes(path) == []
    path.write_text('{"changes": [{"kind": "a", "at": "noon"}]}')
    with pytest.raises(LabelsError, match=r"scenario\.json: cannot tell what changed when"):
        read_changes(path)
