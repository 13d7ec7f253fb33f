import json

import numpy as np
import pytest

from ensemble.explain import lime
from ensemble.explain.asked import Asked
from ensemble.explain.judge import Features, Judge, Values
from ensemble.explain.lime import Lime
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.features import NAMES
from tests.unit.ensemble.alerts import flagged


@pytest.fixture(scope="module")
def judge(bundle: Bundle) -> Judge:
    return Judge(bundle)


@pytest.fixture(scope="module")
def alerts(bundle: Bundle, fresh_events: list[AuthEvent]) -> list[Asked]:
    return flagged(bundle, fresh_events)


class Known(Judge):
    """A judge whose score is known: a line in two features, or a staircase."""

    steep = False

    def surprise(self, plays: Features, asked: Asked) -> Values:
        x = plays.astype(np.float64)
        line = 2.0 * x[:, NAMES.index("travel_speed")] - 0.5 * x[:, NAMES.index("rate")]
        return np.asarray(np.sin(line * 40.0) if self.steep else line)


def at(judge: Judge, **values: float) -> Asked:
    x = np.zeros(len(NAMES), np.float32)
    for name, value in values.items():
        x[NAMES.index(name)] = value
    return Asked(judge.canned().verdict, x)


def test_a_line_is_found_as_it_is(bundle: Bundle) -> None:
    told = Lime(Known(bundle)).explain(at(Known(bundle), travel_speed=4.0, rate=3.0))
    weight = {part["feature"]: part["weight"] for part in told["contributions"]}
    assert weight["travel_speed"] == pytest.approx(2.0, abs=0.05)
    assert weight["rate"] == pytest.approx(-0.5, abs=0.05)
    assert told["fit"] == pytest.approx(1.0, abs=1e-3)
    assert told["fit_is"] == "good"


def test_what_is_no_line_is_said_to_be_none(bundle: Bundle) -> None:
    judge = Known(bundle)
    judge.steep = True
    told = Lime(judge).explain(at(judge, travel_speed=4.0, rate=3.0))
    assert told["fit"] < 0.5
    assert told["fit_is"] == "poor"


def test_the_same_event_gives_the_same_bytes(judge: Judge, alerts: list[Asked]) -> None:
    for asked in alerts[:5]:
        assert json.dumps(Lime(judge).explain(asked)) == json.dumps(Lime(judge).explain(asked))


def test_the_line_is_fitted_to_the_ensemble(judge: Judge, alerts: list[Asked]) -> None:
    """The value is that of the verdict, and most alerts of a real bundle are nearly a line."""
    fits = []
    for asked in alerts[:20]:
        told = Lime(judge).explain(asked)
        assert told["value"] == pytest.approx(
            judge.surprise(judge.play(asked)[np.newaxis], asked)[0], abs=1e-9
        )
        fits.append(told["fit"])
    assert np.median(fits) >= lime.FAIR_FIT


def test_more_samples_say_the_same(
    judge: Judge, alerts: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Lime(judge).explain(alerts[0])["contributions"][0]
    monkeypatch.setattr(lime, "SAMPLES", 4 * lime.SAMPLES)
    many = {part["feature"]: part for part in Lime(judge).explain(alerts[0])["contributions"]}
    assert many[few["feature"]]["weight"] == pytest.approx(few["weight"], rel=0.25)


def test_another_number_of_features_is_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match=f"expected {len(NAMES)} features"):
        Lime(judge).explain(Asked(judge.canned().verdict, np.zeros(3, np.float32)))
