from datetime import UTC, datetime
from typing import Any

import pytest

from tuning.evaluation.suite import CLAIMS, PLANS, markdown, pooled, summary
from tuning.synthetic.scenario import SCENARIOS


def _drift(worst: float | None, rate: float) -> dict[str, Any]:
    change = {
        "worst_relative": worst,
        "settled_relative": 1.0,
        "back_after_days": None,
        "attacks_after": {"campaigns": 4, "campaigns_found": 3},
    }
    budget = {"realised_on_ordinary": rate, "realised_on_ordinary_interval": [rate - 3, rate + 4]}
    return {"changes": [change], "alerts_per_1000_user_days": budget}


def test_every_scenario_has_a_plan_and_every_claim_a_scenario() -> None:
    assert PLANS.keys() == SCENARIOS.keys()
    assert {claim.scenario for claim in CLAIMS} == PLANS.keys()


def test_training_ends_at_its_share_of_the_period() -> None:
    facts = {"start": "2025-05-01T00:00:00Z", "end": "2025-06-12T00:00:00Z"}
    assert PLANS["drift"].judged_from(facts) == datetime(2025, 5, 15, tzinfo=UTC)


def test_a_row_is_the_mean_of_its_seeds_beside_the_aim() -> None:
    rows = {
        row["figure"]: row for row in summary({"drift": [_drift(1.5, 20.0), _drift(3.5, 24.0)]})
    }
    worst = rows["worst day's ordinary alerts, before = 1"]
    assert (worst["value"], worst["aim"], worst["met"]) == (2.5, "≤ 2", False)
    assert worst["seeds"] == [1.5, 3.5]
    assert worst["interval"] is None
    rate = rows["ordinary alerts per 1,000 user-days"]
    assert (rate["value"], rate["met"]) == (22.0, True)
    assert rate["interval"] == pytest.approx([22 - 18**0.5 / 2, 22 + 32**0.5 / 2])
    assert rows["campaigns found after the change"]["met"] is None
    never_back = rows["days until back at the old level"]
    assert (never_back["value"], never_back["met"]) == (float("inf"), False)


def test_scenarios_without_results_have_no_rows() -> None:
    assert {row["scenario"] for row in summary({"drift": [_drift(1.0, 1.0)]})} == {"drift"}


def test_one_seed_keeps_its_interval() -> None:
    assert pooled([(0.5, (0.4, 0.7))]) == pytest.approx([0.4, 0.7])
    assert pooled([(0.5, None), (0.5, (0.4, 0.6))]) is None


def test_a_missed_aim_is_told_as_missed() -> None:
    lines = list(markdown(summary({"drift": [_drift(3.0, 20.0)]})))
    assert (
        "| drift | worst day's ordinary alerts, before = 1 | ≤ 2 | 3.000 | 3.000 | **no** |"
        in lines
    )
    assert any("20.000 (17.000–24.000)" in line and line.endswith("| yes |") for line in lines)
