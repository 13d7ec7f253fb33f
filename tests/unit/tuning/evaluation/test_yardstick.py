import numpy as np

from tests.unit.tuning.evaluation.sets import Row, judged
from tuning.evaluation.judged import Judged
from tuning.evaluation.yardstick import columns_of, cross_fitted, parts


def _events() -> tuple[Judged, list[Row]]:
    """60 users with 20 events each; 24 campaigns, each on three users."""
    rows = [Row(f"u{user:02}", n, 0.0) for user in range(60) for n in range(20)]
    rows += [
        Row(f"u{(3 * k + n) % 60:02}", k, 0.0, "theft", f"c{k:02}")
        for k in range(24)
        for n in range(3)
    ]
    return judged(rows), rows


def test_no_user_and_no_campaign_is_in_both_parts() -> None:
    events, _ = _events()
    tested = np.zeros(len(events), int)
    for train, test in parts(events):
        tested += test
        users, campaigns = events.users.of, events.campaigns.of
        assert not set(users[train]) & set(users[test])
        assert not (set(campaigns[train]) & set(campaigns[test])) - {-1}
        assert train.any()
    assert tested.tolist() == [1] * len(events)


def test_labels_teach_it_what_one_column_tells() -> None:
    events, rows = _events()
    told = np.array([[float(bool(row.kind))] for row in rows], np.float32)
    scores = cross_fitted(events, told)
    assert scores[events.anomalous].min() > scores[~events.anomalous].max()


def test_what_tells_one_user_or_campaign_alone_teaches_it_nothing() -> None:
    """Columns that name the campaign: learned by heart, they would tell every attack."""
    events, _ = _events()
    by_heart = np.zeros((len(events), 24), np.float32)
    inside = np.flatnonzero(events.campaigns.of >= 0)
    by_heart[inside, events.campaigns.of[inside]] = 1.0
    scores = cross_fitted(events, by_heart)
    assert np.median(scores[events.anomalous]) <= scores[~events.anomalous].max()


def test_trails_are_columns_beside_features() -> None:
    features, trails = np.ones((2, 3), np.float32), np.full((2, 4, 5), 7, np.uint8)
    columns = columns_of(features, trails)
    assert columns.shape == (2, 3 + 20)
    assert columns[1].tolist() == [1.0] * 3 + [7.0] * 20
