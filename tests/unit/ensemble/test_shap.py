import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ensemble.explain.asked import Asked
from ensemble.explain.judge import FEATURE_UNIT, Judge
from ensemble.explain.shap import Shap
from ensemble.scorer import BACKGROUND_FILE, Scorer, load_bundle
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.features import FEATURES, NAMES
from tests.unit.ensemble.alerts import flagged

ROOT = Path(__file__).resolve().parents[3]
KEYS = ["feature", "family", "reason", "unit", "meaning", "value", "usual", "contribution"]


@pytest.fixture(scope="module")
def judge(bundle: Bundle) -> Judge:
    return Judge(bundle)


@pytest.fixture(scope="module")
def explainer(judge: Judge) -> Shap:
    return Shap(judge)


def strange(judge: Judge, **values: float) -> Asked:
    """A background event with some features set to what they are told."""
    canned = judge.canned()
    x = judge.background[len(judge.background) // 2, : len(NAMES)].copy()
    for name, value in values.items():
        x[NAMES.index(name)] = value
    return Asked(canned.verdict, x)


def global_generator() -> str:
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return f"{state['pos']} {state['key'].tolist()}"


def test_contributions_add_up_to_the_difference_from_the_background(
    explainer: Shap, judge: Judge, bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    """Base, contributions and value are found independently of each other."""
    for asked in flagged(bundle, fresh_events)[:20]:
        told = explainer.explain(asked)
        base = judge.surprise(explainer.background, asked).mean()
        added = sum(part["contribution"] for part in told["contributions"])
        value = judge.surprise(judge.play(asked)[np.newaxis], asked)[0]
        assert base + added == pytest.approx(value, abs=1e-3)
        assert (told["base"], told["value"]) == pytest.approx((base, value), abs=1e-6)


def test_value_is_the_surprise_behind_the_verdict(
    explainer: Shap, bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    combined = Scorer(bundle).ensemble.spec.combined
    for asked in flagged(bundle, fresh_events)[:20]:
        value = explainer.explain(asked)["value"]
        assert combined(np.array([value]))[0] == pytest.approx(asked.verdict.score, abs=1e-6)


def test_a_degraded_verdict_is_explained_by_the_detectors_that_answered(
    explainer: Shap, judge: Judge
) -> None:
    whole = strange(judge, travel_speed=6.0, hour_bits=3.0)
    some = msgspec.structs.replace(whole.verdict, detectors={"isolation_forest": 0.9})
    alone = explainer.explain(Asked(some, whole.values))
    assert alone["value"] != pytest.approx(explainer.explain(whole)["value"], abs=1e-3)
    added = sum(part["contribution"] for part in alone["contributions"])
    assert alone["base"] + added == pytest.approx(alone["value"], abs=1e-3)


def test_every_feature_once_by_size_and_json_ready(explainer: Shap, judge: Judge) -> None:
    told = json.loads(json.dumps(explainer.explain(strange(judge, rate=5.0))))
    parts = told["contributions"]
    assert sorted(part["feature"] for part in parts) == sorted(judge.players)
    assert set(NAMES) <= set(judge.players)
    assert all(list(part) == KEYS for part in parts)
    sizes = [abs(part["contribution"]) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert (told["method"], told["background_events"]) == ("shap", len(explainer.background))
    assert {part["unit"] for part in parts if part["feature"] in NAMES} == {FEATURE_UNIT}


def test_usual_is_the_median_of_the_whole_background(
    explainer: Shap, judge: Judge, bundle: Bundle
) -> None:
    rows = np.frombuffer(bundle.read(BACKGROUND_FILE), "<f4").reshape(-1, len(FEATURES))
    told = explainer.explain(strange(judge, rate=5.0))["contributions"]
    usual = {part["feature"]: part["usual"] for part in told}
    assert [usual[name] for name in NAMES] == np.median(rows, axis=0).tolist()
    # In decades beyond the commonplace the median event shows nothing.
    assert set(usual.values()) == {0.0}


@pytest.mark.parametrize(
    "name", ["travel_speed", "bytes_user", "user_failures", "device_user_bits"]
)
def test_the_strange_feature_comes_first(explainer: Shap, judge: Judge, name: str) -> None:
    first = explainer.explain(strange(judge, **{name: 8.0}))["contributions"][0]
    assert first["feature"] == name
    assert first["contribution"] > 0
    assert first["value"] == 8.0
    assert first["reason"] == FEATURES[NAMES.index(name)].reason


def test_same_event_same_bytes_and_the_global_generator_untouched(
    explainer: Shap, judge: Judge, bundle: Bundle
) -> None:
    x = strange(judge, travel_speed=6.0, hour_bits=3.0, rate=2.0)
    before = global_generator()
    first = json.dumps(explainer.explain(x))
    explainer.explain(strange(judge, rate=4.0))
    assert json.dumps(explainer.explain(x)) == first
    assert json.dumps(Shap(Judge(bundle)).explain(x)) == first
    assert global_generator() == before


def test_a_feature_no_background_event_differs_in_adds_nothing(
    explainer: Shap, judge: Judge
) -> None:
    columns = explainer.background[:, : len(NAMES)]
    same = (columns == columns[0]).all(axis=0)
    assert same.any()
    told = explainer.explain(Asked(judge.canned().verdict, columns[0].copy()))
    parts = {part["feature"]: part["contribution"] for part in told["contributions"]}
    assert all(parts[NAMES[index]] == 0.0 for index in np.flatnonzero(same))


def test_another_number_of_features_is_refused(explainer: Shap, judge: Judge) -> None:
    with pytest.raises(ValueError, match=f"expected {len(FEATURES)} features"):
        explainer.explain(Asked(judge.canned().verdict, np.zeros(3, np.float32)))


def test_explaining_imports_no_tensorflow_and_scoring_no_shap(bundle: Bundle) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from ensemble.explain.explaining import Explaining
        from ensemble.scorer import Scorer, load_bundle
        from preprocessing.event import decode_event
        loaded = load_bundle(Path(sys.argv[1]))
        event = b'{"timestamp": "2026-11-22T08:15:00Z", "user_id": "ada", "outcome": "success"}'
        Scorer(loaded).score([decode_event(event, now_s=4e9)], now_s=4e9)
        explaining = Explaining(loaded)
        explaining.explain("lime", explaining.judge.canned())
        explaining.explain("counterfactual", explaining.judge.canned())
        heavy = ("shap", "sklearn", "pandas", "tensorflow", "keras")
        print([name for name in heavy if name in sys.modules])
        explaining.explain("shap", explaining.judge.canned())
        print([name for name in ("tensorflow", "keras") if name in sys.modules])
    """
    command = [sys.executable, "-c", code, str(bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "[]\n[]\n", done.stderr
    assert load_bundle(bundle.path).version == bundle.version
