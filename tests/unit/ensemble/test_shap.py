import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensemble.explain.shap import FEATURE_UNIT, ShapExplainer
from ensemble.scorer import BACKGROUND_FILE, Scorer, load_bundle
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.features import FEATURES, NAMES
from preprocessing.prepare import prepare

ROOT = Path(__file__).resolve().parents[3]
KEYS = ["feature", "family", "reason", "unit", "meaning", "value", "usual", "contribution"]


@pytest.fixture(scope="module")
def explainer(bundle: Bundle) -> ShapExplainer:
    return ShapExplainer(bundle)


def strange(explainer: ShapExplainer, **values: float) -> NDArray[np.float32]:
    """A background event with some features set to what they are told."""
    x: NDArray[np.float32] = explainer.background[len(explainer.background) // 2].copy()
    for name, value in values.items():
        x[NAMES.index(name)] = value
    return x


def global_generator() -> str:
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return f"{state['pos']} {state['key'].tolist()}"


def test_contributions_add_up(explainer: ShapExplainer) -> None:
    for row in (strange(explainer, travel_speed=6.0), *explainer.background[:3]):
        told = explainer.explain(row)
        total = told["base"] + sum(part["contribution"] for part in told["contributions"])
        assert total == pytest.approx(told["value"], abs=1e-6)


def test_value_is_what_the_ensemble_says(explainer: ShapExplainer, bundle: Bundle) -> None:
    scorer = Scorer(bundle)
    x = strange(explainer, travel_speed=6.0, hour_bits=3.0)
    expected = scorer.ensemble.combined_surprise(scorer.raw({"features": x[np.newaxis]}))[0]
    assert explainer.explain(x)["value"] == pytest.approx(expected, abs=1e-6)


def test_base_is_the_mean_over_the_background(explainer: ShapExplainer, bundle: Bundle) -> None:
    scorer = Scorer(bundle)
    mean = scorer.ensemble.combined_surprise(scorer.raw({"features": explainer.background})).mean()
    told = explainer.explain(strange(explainer, bytes_user=9.0))
    assert told["base"] == pytest.approx(mean, abs=1e-4)


def test_every_feature_once_by_size_and_json_ready(explainer: ShapExplainer) -> None:
    told = json.loads(json.dumps(explainer.explain(strange(explainer, rate=5.0))))
    parts = told["contributions"]
    assert sorted(part["feature"] for part in parts) == sorted(NAMES)
    assert all(list(part) == KEYS for part in parts)
    sizes = [abs(part["contribution"]) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert (told["method"], told["background_events"]) == ("shap", len(explainer.background))
    assert {part["unit"] for part in parts} == {FEATURE_UNIT}


def test_usual_is_the_median_of_the_whole_background(
    explainer: ShapExplainer, bundle: Bundle
) -> None:
    rows = np.frombuffer(bundle.read(BACKGROUND_FILE), "<f4").reshape(-1, len(FEATURES))
    told = explainer.explain(strange(explainer, rate=5.0))["contributions"]
    usual = {part["feature"]: part["usual"] for part in told}
    assert [usual[name] for name in NAMES] == np.median(rows, axis=0).tolist()
    # In decades beyond the commonplace the median event shows nothing.
    assert set(usual.values()) == {0.0}


def test_an_explained_event_has_the_values_that_were_scored(
    explainer: ShapExplainer, bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    """The explanation's value is the surprise behind the verdict, not one of raw features."""
    scorer = Scorer(bundle)
    prepared = prepare(fresh_events[:1], scorer.history, scorer.ensemble.spec.lens, now_s=4e9)
    (verdict,) = Scorer(bundle).score(fresh_events[:1], now_s=4e9)
    told = explainer.explain(prepared.features[0])
    combined = scorer.ensemble.spec.combined
    assert combined(np.array([told["value"]]))[0] == pytest.approx(verdict.score, abs=1e-4)


@pytest.mark.parametrize(
    "name", ["travel_speed", "bytes_user", "user_failures", "device_user_bits"]
)
def test_the_strange_feature_comes_first(explainer: ShapExplainer, name: str) -> None:
    first = explainer.explain(strange(explainer, **{name: 8.0}))["contributions"][0]
    assert first["feature"] == name
    assert first["contribution"] > 0
    assert first["value"] == 8.0
    assert first["reason"] == FEATURES[NAMES.index(name)].reason


def test_same_event_same_bytes_and_the_global_generator_untouched(
    explainer: ShapExplainer, bundle: Bundle
) -> None:
    x = strange(explainer, travel_speed=6.0, hour_bits=3.0, rate=2.0)
    before = global_generator()
    first = json.dumps(explainer.explain(x))
    explainer.explain(strange(explainer, rate=4.0))
    assert json.dumps(explainer.explain(x)) == first
    assert json.dumps(ShapExplainer(bundle).explain(x)) == first
    assert global_generator() == before


def test_a_feature_no_background_event_differs_in_adds_nothing(explainer: ShapExplainer) -> None:
    same = (explainer.background == explainer.background[0]).all(axis=0)
    assert same.any()
    told = explainer.explain(explainer.background[0])
    parts = {part["feature"]: part["contribution"] for part in told["contributions"]}
    assert all(parts[NAMES[index]] == 0.0 for index in np.flatnonzero(same))


def test_another_number_of_features_is_refused(explainer: ShapExplainer) -> None:
    with pytest.raises(ValueError, match=f"expected {len(FEATURES)} features"):
        explainer.explain(np.zeros(3, np.float32))


def test_explaining_imports_no_tensorflow_and_scoring_no_shap(bundle: Bundle) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from ensemble.explain.shap import ShapExplainer
        from ensemble.scorer import Scorer, load_bundle
        from preprocessing.event import decode_event
        loaded = load_bundle(Path(sys.argv[1]))
        event = b'{"timestamp": "2026-11-22T08:15:00Z", "user_id": "ada", "outcome": "success"}'
        Scorer(loaded).score([decode_event(event, now_s=4e9)], now_s=4e9)
        heavy = ("shap", "sklearn", "pandas", "tensorflow", "keras")
        print([name for name in heavy if name in sys.modules])
        explainer = ShapExplainer(loaded)
        explainer.explain(explainer.background[0])
        print([name for name in ("tensorflow", "keras") if name in sys.modules])
    """
    command = [sys.executable, "-c", code, str(bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "[]\n[]\n", done.stderr
    assert load_bundle(bundle.path).version == bundle.version
