import numpy as np

from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation.alerts import at_points, by_type
from tuning.evaluation.campaigns import each_campaign
from tuning.evaluation.judged import DAY_S
from tuning.evaluation.points import Point
from tuning.evaluation.resampling import Clusters

#: One campaign found on its second day, one at once, one never; and a loose incident.
ROWS = [
    Row("ada", 1.0, 0.1, "theft", "slow"),
    Row("ada", 2.5, 0.9, "theft", "slow", flagged=True),
    Row("bob", 3.0, 0.9, "spray", "quick", flagged=True),
    Row("ann", 3.0, 0.9, "spray", "quick", flagged=True),
    Row("bob", 5.0, 0.1, "theft", "unseen"),
    Row("cat", 5.0, 0.1, "theft"),
    Row("cat", 6.0, 0.9, flagged=True),
    Row("dan", 6.0, 0.1),
]
EVENTS = judged(ROWS)
BUDGET = [Point("budget", EVENTS.flagged, 0.9)]


def test_a_campaign_is_found_by_one_alert_and_timed_from_its_first_event() -> None:
    told = at_points(EVENTS, BUDGET, Clusters(EVENTS))["budget"]
    assert told["campaign_recall"] == 2 / 3
    assert told["median_time_to_detect_s"] == 0.75 * DAY_S
    assert told["recall"] == 3 / 6
    assert told["precision"] == 3 / 4
    # one false alarm; two user-days each of ada, bob and cat, one each of ann and dan
    assert told["false_positives_per_1000_user_days"] == 1000 / 8


def test_types_count_their_own_campaigns() -> None:
    told = by_type(EVENTS, BUDGET, Clusters(EVENTS))
    assert told["spray"]["at"]["budget"]["campaign_recall"] == 1.0
    theft = told["theft"]
    assert (theft["events"], theft["campaigns"], theft["users"]) == (4, 2, 3)
    assert theft["at"]["budget"]["campaign_recall"] == 0.5
    assert theft["at"]["budget"]["recall"] == 0.25
    assert theft["at"]["budget"]["median_time_to_detect_s"] == 1.5 * DAY_S


def test_every_campaign_is_told_by_its_beginning() -> None:
    slow, quick, unseen = each_campaign(EVENTS, BUDGET)
    assert slow == {
        "campaign": "slow",
        "type": "theft",
        "events": 2,
        "users": 1,
        "first_s": DAY_S,
        "lasted_s": 1.5 * DAY_S,
        "time_to_detect_s": {"budget": 1.5 * DAY_S},
    }
    assert quick["time_to_detect_s"] == {"budget": 0.0}
    assert (quick["users"], quick["lasted_s"]) == (2, 0.0)
    assert unseen["time_to_detect_s"] == {"budget": None}


def test_labels_without_campaigns_have_no_campaign_figures() -> None:
    rows = [Row("ada", 1, 0.9, "theft", flagged=True), Row("bob", 1, 0.1)]
    events = judged(rows)
    points = [Point("budget", events.flagged, 0.9)]
    told = at_points(events, points, Clusters(events))["budget"]
    assert told["campaign_recall"] is None
    assert told["median_time_to_detect_s"] is None
    assert told["recall"] == 1.0
    assert each_campaign(events, points) == []


def test_intervals_draw_whole_campaigns() -> None:
    """Of 40 campaigns of ten events each half is found: chance is that of 40 draws, not of 400."""
    rows = [
        Row("eve", k, 0.9, "theft", f"c{k:02}", flagged=k % 2 == 0)
        for k in range(40)
        for _ in range(10)
    ]
    events = judged(rows)
    told = at_points(events, [Point("budget", events.flagged, 0.9)], Clusters(events))["budget"]
    low, high = told["recall_interval"]
    spread = 1.96 * np.sqrt(0.25 / 40)
    assert abs(low - (0.5 - spread)) < 0.06
    assert abs(high - (0.5 + spread)) < 0.06
