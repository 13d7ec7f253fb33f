import numpy as np
import pytest

from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation import resampling
from tuning.evaluation.resampling import Clusters, figure, interval, ratio, share


def test_events_of_a_campaign_are_drawn_with_it_and_others_with_their_user() -> None:
    rows = [
        Row("ada", 1, 0.5),
        Row("ada", 2, 0.5, "theft", "c1"),
        Row("bob", 2, 0.5, "theft", "c1"),
        Row("bob", 3, 0.5),
    ]
    clusters = Clusters(judged(rows), resamples=50)
    assert clusters.of[1] == clusters.of[2]
    assert len({clusters.of[0], clusters.of[1], clusters.of[3]}) == 3
    assert clusters.draws.shape == (50, 3)
    assert set(clusters.of_users.sum(axis=1)) == {2.0}
    assert set(clusters.of_campaigns.ravel()) == {1.0}
    both = np.array([True, False, False, True])
    assert clusters.counts(both).tolist() == [2.0] * 50
    assert clusters.met(both) == 2


def test_many_users_are_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "MOST_DRAWS", 600)
    events = judged([Row(f"u{n}", 1, 0.5) for n in range(9)])
    assert Clusters(events).draws.shape == (66, 9)
    assert Clusters(events, resamples=20).draws.shape == (20, 9)


def test_the_same_events_have_the_same_draws() -> None:
    rows = [Row(f"u{n}", 1, 0.5) for n in range(9)]
    assert (Clusters(judged(rows)).draws == Clusters(judged(rows)).draws).all()


def test_an_interval_holds_the_middle_of_what_exists() -> None:
    values = np.r_[np.arange(1001.0), np.nan]
    assert interval(values) == pytest.approx((25.0, 975.0))
    assert interval(np.array([np.nan])) is None
    assert ratio(np.array([1.0, 2.0]), np.array([4.0, 0.0])).tolist()[0] == 0.25
    assert np.isnan(ratio(1.0, 0.0))


def test_a_figure_that_does_not_exist_is_none() -> None:
    assert figure("x", float("nan"), np.array([1.0])) == {"x": None, "x_interval": None}


def test_all_or_nothing_is_bounded_by_how_many_cases_there_were() -> None:
    always = np.ones(10)
    assert share("x", 1.0, always, 6)["x_interval"] == pytest.approx((6 / (6 + 1.96**2), 1.0))
    assert share("x", 0.0, 0.0 * always, 6)["x_interval"] == pytest.approx((0.0, 1.96**2 / 9.8416))
    assert share("x", 0.5, np.array([0.4, 0.4]), 6)["x_interval"] == (0.4, 0.4)
