from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation.alerts import by_cause, occurrences
from tuning.evaluation.points import Point
from tuning.evaluation.resampling import Clusters

#: ada changes her phone twice, a month apart; bob once, over a weekend.
ROWS = [
    Row("ada", 1.0, 0.9, cause="new_phone", flagged=True),
    Row("ada", 1.1, 0.9, cause="new_phone", flagged=True),
    Row("ada", 2.0, 0.1, cause="new_phone"),
    Row("ada", 31.0, 0.1, cause="new_phone"),
    Row("bob", 5.0, 0.1, cause="new_phone"),
    Row("bob", 7.9, 0.1, cause="new_phone"),
    Row("bob", 7.9, 0.1, cause="traveller"),
    Row("cat", 2.0, 0.9, flagged=True),
    Row("cat", 2.1, 0.1),
    Row("eve", 2.1, 0.9, kind="theft", flagged=True),
]
EVENTS = judged(ROWS)
BUDGET = [Point("budget", EVENTS.flagged, 0.9)]


def test_runs_of_one_user_and_cause_are_one_occurrence() -> None:
    assert occurrences(EVENTS).of.tolist() == [0, 0, 0, 1, 2, 2, 3, -1, -1, -1]


def test_shares_of_events_and_of_occurrences() -> None:
    phone, traveller, none = by_cause(EVENTS, BUDGET, Clusters(EVENTS))
    assert (phone["cause"], phone["events"], phone["occurrences"], phone["users"]) == (
        "new_phone", 6, 3, 2,
    )  # fmt: skip
    assert phone["at"]["budget"]["events_alerted"] == 2 / 6
    assert phone["at"]["budget"]["occurrences_alerted"] == 1 / 3
    assert traveller["at"]["budget"]["events_alerted"] == 0.0
    assert (none["cause"], none["events"], none["occurrences"]) == (None, 2, None)
    assert none["at"]["budget"]["events_alerted"] == 0.5


def test_labels_without_causes_are_told_as_one() -> None:
    events = judged([Row("ada", 1, 0.9, flagged=True), Row("bob", 1, 0.1)])
    (only,) = by_cause(events, [Point("budget", events.flagged, 0.9)], Clusters(events))
    assert only["cause"] is None
    assert only["at"]["budget"]["events_alerted"] == 0.5
