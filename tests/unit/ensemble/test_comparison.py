from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ensemble.comparison import MOST_EXAMPLES, Comparison, Judged
from ensemble.verdict import RANKS, Reason, Verdict, decide
from preprocessing.event import AuthEvent

THRESHOLD = 0.9


def event(number: int, user: str = "ann") -> AuthEvent:
    return AuthEvent(datetime(2026, 11, 22, tzinfo=UTC), user, "success", event_id=f"e{number}")


def verdict(of: AuthEvent, score: float, *codes: str, duplicate: bool = False) -> Verdict:
    rank = int(decide(max(1.0 - score, 1e-20), THRESHOLD))
    reasons = [Reason(code, f"because of {code}", "", "", "T1078", 0.5) for code in codes]
    return Verdict(
        event_id=of.event_id,
        user_id=of.user_id,
        score=score,
        is_anomaly=rank > 0,
        threshold=THRESHOLD,
        severity=RANKS[rank],
        reasons=tuple(reasons),
        detectors={},
        variant="champion",
        model_version="1",
        duplicate=duplicate,
    )


def compared(
    *pairs: tuple[float, float], users: str = "", labels: list[bool | None] | None = None
) -> Comparison:
    """Scores of both versions for one event after another; over the threshold for reason ``r``."""
    events = [event(n, users[n] if users else "ann") for n in range(len(pairs))]
    found = Comparison()
    verdicts = [
        [
            verdict(one, pair[which], *(["r"] if pair[which] > THRESHOLD else []))
            for one, pair in zip(events, pairs, strict=True)
        ]
        for which in (0, 1)
    ]
    found.add(events, (verdicts[0], verdicts[1]), labels or [None] * len(pairs))
    return found


def test_alerts_of_one_version_alone_are_lost_or_gained() -> None:
    found = compared((0.95, 0.95), (0.95, 0.5), (0.5, 0.95), (0.5, 0.96), (0.1, 0.2), users="aabbc")
    assert (found.events, found.both) == (5, 1)
    assert (found.lost.events, found.lost.users) == (1, 1)
    assert (found.gained.events, found.gained.users) == (2, 1)
    assert found.judged == (Judged(2, 1), Judged(3, 2))


def test_the_rarest_come_first_with_the_reasons_of_who_alerted() -> None:
    events = [event(1), event(2, "bob")]
    found = Comparison()
    quiet = [verdict(one, 0.5) for one in events]
    loud = [verdict(events[0], 0.95, "off_hours_login"), verdict(events[1], 0.9925, "r", "s")]
    found.add(events, (quiet, loud), [None, None])
    assert found.gained.reasons == {"off_hours_login": 1, "r": 1}
    first, second = found.gained.examples
    assert (first.event_id, first.user_id, first.codes) == ("e2", "bob", ("r", "s"))
    assert (first.scores, first.severity, first.text) == ((0.5, 0.9925), "high", "because of r")
    assert (second.event_id, second.timestamp) == ("e1", "2026-11-22T00:00:00Z")
    assert found.lost.examples == []


def test_a_score_that_a_double_cannot_tell_from_1_is_the_rarest() -> None:
    examples = compared((0.5, 0.999), (0.5, 1.0)).gained.examples
    assert [example.event_id for example in examples] == ["e1", "e0"]


def test_every_differing_event_counts_though_not_every_one_is_kept() -> None:
    gained = compared(*[(0.5, 0.95)] * MOST_EXAMPLES, (0.5, 0.99), (0.5, 0.92)).gained
    assert gained.events == sum(gained.reasons.values()) == MOST_EXAMPLES + 2
    scores = [example.scores[1] for example in gained.examples]
    assert scores == [0.99, *[0.95] * (MOST_EXAMPLES - 1)]


def test_a_repeated_event_is_left_out() -> None:
    one = event(1)
    again = [verdict(one, 0.95, "r", duplicate=True)]
    found = Comparison()
    found.add([one], (again, again), [None])
    assert (found.events, found.both) == (0, 0)


def test_labels_say_which_version_is_better() -> None:
    found = compared(
        (0.95, 0.2), (0.5, 0.99), (0.3, 0.3), (0.95, 0.95), labels=[False, True, False, None]
    )
    assert (found.lost.anomalous, found.gained.anomalous) == (0, 1)
    first, second = found.judged
    assert (first.precision, first.recall, first.roc_auc) == (0.0, 0.0, 0.5)
    assert (second.precision, second.recall, second.average_precision) == (1.0, 1.0, 1.0)
    assert found.gained.examples[0].anomalous is True


def test_rankings_need_anomalous_and_ordinary_events() -> None:
    first, _ = compared((0.95, 0.2), labels=[True]).judged
    assert (first.recall, first.roc_auc, first.average_precision) == (1.0, None, 1.0)


@pytest.mark.parametrize(
    ("pairs", "correlation"),
    [
        ([(0.1, 0.2), (0.2, 0.3), (0.3, 0.9)], 1.0),
        ([(0.1, 0.3), (0.2, 0.2), (0.3, 0.1)], -1.0),
        ([(0.1, 0.1), (0.1, 0.2), (0.3, 0.3)], pytest.approx(0.75**0.5)),
        ([(0.1, 0.1), (0.1, 0.2)], None),
        ([], None),
    ],
)
def test_rank_correlation(pairs: list[tuple[float, float]], correlation: float | None) -> None:
    found = compared(*pairs).rank_correlation
    assert found == (correlation if correlation is None else pytest.approx(correlation))
