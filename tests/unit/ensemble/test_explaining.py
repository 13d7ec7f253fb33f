import json

import msgspec
import pytest

from ensemble.explain.asked import Asked
from ensemble.explain.explaining import Explaining
from ensemble.explain.judge import RECENT
from ensemble.explain.methods import METHODS, Method
from ensemble.explain.wording import page
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from tests.unit.ensemble.alerts import flagged, kept


@pytest.fixture(scope="module")
def explaining(bundle: Bundle) -> Explaining:
    return Explaining(bundle)


@pytest.fixture(scope="module")
def alert(bundle: Bundle, fresh_events: list[AuthEvent]) -> Asked:
    alerts = flagged(bundle, fresh_events)
    return max(alerts, key=lambda asked: asked.evidence.events if asked.evidence else 0)


@pytest.mark.parametrize("method", METHODS)
def test_every_explanation_says_what_it_rests_on(
    explaining: Explaining, alert: Asked, method: Method
) -> None:
    told = json.loads(json.dumps(explaining.explain(method, alert)))
    assert alert.evidence is not None
    assert told["method"] == method
    assert told["summary"].endswith(".")
    assert told["baseline"]["events"] == alert.evidence.events
    assert (
        f"{alert.evidence.events} learned events of {alert.verdict.user_id}"
        in (told["baseline"]["text"])
    )
    assert "15 minutes" in told["window"]["text"]
    assert told["confidence"]["text"].startswith(told["confidence"]["level"])


@pytest.mark.parametrize(
    ("changed", "level", "why"),
    [
        ({"learning": True}, "low", "still being learned"),
        ({"degraded": True}, "low", "a detector did not answer"),
        ({"late": True}, "moderate", "came late"),
    ],
)
def test_doubts_are_said(
    explaining: Explaining, alert: Asked, changed: dict[str, bool], level: str, why: str
) -> None:
    assert alert.evidence is not None
    evidence = msgspec.structs.replace(alert.evidence, events=500, days=60.0)
    sure = msgspec.structs.replace(alert.verdict, learning=False)
    told = explaining.explain("counterfactual", Asked(sure, alert.values, evidence))
    assert told["confidence"]["level"] == "high"
    doubtful = msgspec.structs.replace(sure, **changed)
    told = explaining.explain("counterfactual", Asked(doubtful, alert.values, evidence))
    assert told["confidence"]["level"] == level
    assert why in told["confidence"]["text"]


def test_few_events_are_said(explaining: Explaining, alert: Asked) -> None:
    assert alert.evidence is not None
    evidence = msgspec.structs.replace(alert.evidence, events=12)
    known = msgspec.structs.replace(alert.verdict, learning=False)
    told = explaining.explain("lime", Asked(known, alert.values, evidence))
    assert "only 12 events of this user known" in told["confidence"]["text"]
    assert told["confidence"]["level"] in ("moderate", "low")


def test_the_same_from_what_is_kept_as_bytes_by_another_process_of_this_bundle(
    explaining: Explaining, bundle: Bundle, alert: Asked
) -> None:
    again = Asked.decode(
        msgspec.json.encode(alert.verdict),
        alert.values.tobytes(),
        msgspec.msgpack.encode(alert.evidence),
    )
    other = Explaining(bundle)
    for method in reversed(METHODS):
        first = json.dumps(explaining.explain(method, alert))
        assert json.dumps(other.explain(method, again)) == first


def test_what_came_before_is_a_player_where_a_detector_looks_at_it(
    explaining: Explaining, bundle: Bundle
) -> None:
    sequential = any(bundle.scorer(name).sees == "trails" for name in bundle.detectors)
    assert (RECENT in explaining.judge.players) == sequential


def test_a_page_names_reasons_and_next_steps(explaining: Explaining, alert: Asked) -> None:
    told = page(alert, {method: explaining.explain(method, alert) for method in METHODS})
    assert told.startswith(alert.verdict.severity.upper())
    assert all(reason.text in told for reason in alert.verdict.reasons)
    assert "Next: " in told


def test_an_event_without_evidence_is_explained_as_far_as_it_goes(
    explaining: Explaining, bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    plain = next(asked for asked in kept(bundle, fresh_events[:200]) if asked.evidence is None)
    for method in METHODS:
        told = explaining.explain(method, plain)
        assert "baseline was not kept" in told["baseline"]["text"]
