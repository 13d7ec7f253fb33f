import json
from typing import Any

import msgspec
import numpy as np
import pytest

from ensemble.explain.asked import Asked
from ensemble.explain.counterfactual import MOST_CHANGES, MOST_TOLD, Counterfactual
from ensemble.explain.judge import Judge
from ensemble.scorer import Scorer
from ensemble.verdict import Verdict
from models.bundle import Bundle
from preprocessing.changes import CHANGES, changed, changed_event
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import measured
from preprocessing.trail import mark, steps
from preprocessing.typical import Typical
from preprocessing.values import values_of
from tests.unit.ensemble.alerts import NOW_S, flagged, kept


@pytest.fixture(scope="module")
def judge(bundle: Bundle) -> Judge:
    return Judge(bundle)


@pytest.fixture(scope="module")
def alerts(bundle: Bundle, fresh_events: list[AuthEvent]) -> list[Asked]:
    return flagged(bundle, fresh_events)


def names(found: dict[str, Any]) -> tuple[str, ...]:
    return tuple(each["change"] for each in found["changes"])


def by_hand(judge: Judge, asked: Asked, changes: Any) -> float:
    """The surprise after changes, step by step."""
    assert asked.evidence is not None
    typical = Typical.decode(asked.evidence.typical)
    facts = changed(np.array(asked.evidence.facts), np.array(typical.facts), changes)
    lens = judge.spec.lens
    features = lens.surprise(measured(facts[np.newaxis], lens.windows))
    trails = None
    if asked.trail is not None:
        event = changed_event(asked.evidence.event, typical.event, changes)
        trails = asked.trail.copy()
        trails[:, -1] = steps(facts[np.newaxis], mark(event, values_of(event)))
    return float(judge.surprise_of(features, trails, asked)[0])


def test_what_is_kept_gives_the_features_that_were_scored(
    judge: Judge, alerts: list[Asked]
) -> None:
    for asked in alerts:
        if asked.evidence is not None:
            lens = judge.spec.lens
            facts = np.array(asked.evidence.facts)[np.newaxis]
            again = lens.surprise(measured(facts, lens.windows))[0]
            assert again.tolist() == pytest.approx(asked.values.tolist(), abs=1e-6)


def test_every_counterfactual_flips_the_verdict_and_no_part_of_it_does(
    judge: Judge, alerts: list[Asked]
) -> None:
    found = 0
    for asked in alerts:
        told = Counterfactual(judge).explain(asked)
        for one in told["counterfactuals"]:
            found += 1
            changes = names(one)
            assert 1 <= len(changes) <= MOST_CHANGES
            assert judge.flagged(np.array([told["value"]]), asked)[0]
            assert not judge.flagged(np.array([one["value"]]), asked)[0]
            assert one["value"] <= told["threshold"] < told["value"]
            for left_out in changes:
                part = [each for each in changes if each != left_out]
                assert judge.flagged(np.array([by_hand(judge, asked, part)]), asked)[0]
    assert found >= 10


def test_fewest_changes_first_then_the_likeliest(judge: Judge, alerts: list[Asked]) -> None:
    for asked in alerts:
        found = Counterfactual(judge).explain(asked)["counterfactuals"]
        ranks = [(len(one["changes"]), -one["share"]) for one in found]
        assert ranks == sorted(ranks)
        assert len(found) <= MOST_TOLD
        assert all(0.0 < one["share"] <= 1.0 for one in found)


def test_the_event_itself_with_its_changes_is_quiet_with_the_same_history(
    judge: Judge, bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    """The whole pipeline, from the event on; what was known before is what was known then.

    Another time is left out: it also moves how long ago everything before was.
    """
    scorer, quiet = Scorer(bundle), 0
    for event, asked in zip(fresh_events[:400], kept(bundle, fresh_events[:400], 1), strict=True):
        told = Counterfactual(judge).explain(asked)
        for one in told["counterfactuals"][:2]:
            assert asked.evidence is not None
            if "time" not in names(one):
                typical = Typical.decode(asked.evidence.typical).event
                verdict = scored_instead(
                    bundle,
                    scorer,
                    changed_event(event, typical, [*names(one)]),  # type: ignore[list-item]
                )
                assert not verdict.is_anomaly, (names(one), event)
                quiet += 1
        (again,) = scorer.score([event], now_s=NOW_S)
        assert again.score == asked.verdict.score
        if quiet >= 12:
            return
    assert quiet >= 3


def scored_instead(bundle: Bundle, scorer: Scorer, event: AuthEvent) -> Verdict:
    history = EmbeddedHistory()
    history.restore(scorer.history.snapshot())
    (verdict,) = Scorer(bundle, history).score([event], now_s=NOW_S)
    return verdict


def test_none_is_told_as_none_with_the_nearest(judge: Judge, alerts: list[Asked]) -> None:
    """A threshold that everything is over: no circumstance helps."""
    asked = next(each for each in alerts if each.evidence and each.evidence.typical)
    strict = msgspec.structs.replace(asked.verdict, threshold=1e-6)
    told = Counterfactual(judge).explain(Asked(strict, asked.values, asked.evidence))
    assert (told["status"], told["counterfactuals"]) == ("none", [])
    assert told["nearest"]["value"] <= told["value"]


def test_a_quiet_event_needs_none(
    judge: Judge, bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    quiet = next(each for each in kept(bundle, fresh_events[:50]) if not each.verdict.is_anomaly)
    assert Counterfactual(judge).explain(quiet)["status"] == "not_flagged"


def test_without_a_baseline_nobody_knows(judge: Judge, alerts: list[Asked]) -> None:
    asked = Asked(alerts[0].verdict, alerts[0].values)
    assert Counterfactual(judge).explain(asked)["status"] == "unknown"


def test_only_circumstances_change(judge: Judge, alerts: list[Asked]) -> None:
    told = {
        name
        for asked in alerts
        for one in Counterfactual(judge).explain(asked)["counterfactuals"]
        for name in names(one)
    }
    assert told <= set(CHANGES)


def test_same_event_same_bytes(judge: Judge, bundle: Bundle, alerts: list[Asked]) -> None:
    for asked in alerts[:10]:
        first = json.dumps(Counterfactual(judge).explain(asked))
        assert json.dumps(Counterfactual(Judge(bundle)).explain(asked)) == first
