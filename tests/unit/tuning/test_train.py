"""What a training promises, with the detectors that fit fast."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from models.onnx_scorer import OnnxScorer
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import FEATURES, UnknownWindow, Windows, extract
from preprocessing.surprise import COMMONPLACE
from tuning import train as training
from tuning import weighing
from tuning.train import BACKGROUND_ROWS, Trained, TrainingError, TrainingSettings, train

FAST = TrainingSettings(
    detectors=("isolation_forest", "one_class_svm"),
    parameters={"isolation_forest": {"n_trees": 20}, "one_class_svm": {"max_rows": 200}},
)
MONDAY = datetime(2026, 6, 1, 9, tzinfo=UTC)
USERS = ("ada", "bob", "cem", "dee")


def login(number: int, **fields: object) -> AuthEvent:
    """The login of one of four people, one every two hours."""
    event = AuthEvent(
        timestamp=MONDAY + timedelta(hours=2 * number, minutes=7 * number % 60),
        user_id=USERS[number % 4],
        outcome="success",
        event_id=f"e{number:04d}",
        country="DE",
        device_id=f"laptop-{number % 4}",
        resource="wiki",
    )
    return msgspec.structs.replace(event, **fields)


def office(count: int = 300) -> list[AuthEvent]:
    return [login(number) for number in range(count)]


def raided(count: int = 300, *, every: int = 10) -> tuple[list[AuthEvent], frozenset[str]]:
    """An office in which every so many events somebody else sits at ada's account."""
    theirs = {"user_id": "ada", "country": "KP", "device_id": "burner", "resource": "payroll"}
    events = [login(n, **theirs) if n % every == every - 1 else login(n) for n in range(count)]
    return events, frozenset(event.event_id for event in events if event.country == "KP")


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(office(), settings=FAST)


def history_of(trained: Trained) -> EmbeddedHistory:
    history = EmbeddedHistory()
    history.restore(trained.history)
    return history


def learned_events(trained: Trained) -> float:
    """Events that the baselines of all users hold, as an event of each of them sees it."""
    later = [login(1000 + number, event_id=f"later{number}") for number in range(4)]
    facts = history_of(trained).observe(later, now_s=later[-1].timestamp.timestamp())
    return sum(history_of(trained).evidence(e, facts, row).events for row, e in enumerate(later))


def country_bits(trained: Trained, country: str) -> float:
    """How rare a country is to ada after a training."""
    event = login(1000, event_id="later", country=country)
    values = extract([event], history_of(trained).observe([event], now_s=4e9)).values[0]
    names = [feature.name for feature in FEATURES]
    return float(values[names.index("country_user_bits")])


def outcome(trained: Trained) -> object:
    """All that a bundle is made of, comparable."""
    x = np.abs(np.random.default_rng(0).normal(size=(20, len(FEATURES)))).astype(np.float32)
    scores = {name: detector.score(x).tolist() for name, detector in trained.detectors.items()}
    rest = (trained.spec, trained.history, trained.background.tolist(), trained.score_quantiles)
    return scores, rest, trained.detector_quantiles, trained.set_aside


def test_nothing_to_train_on_says_what_is_needed() -> None:
    with pytest.raises(TrainingError, match="at least one day of ordinary logins"):
        train([], settings=FAST)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_handful_of_events_trains(count: int) -> None:
    small = train(office(count), settings=FAST)
    assert set(small.detectors) == set(FAST.detectors)
    assert small.background.shape == (count, len(FEATURES))
    assert np.isfinite(small.background).all()
    assert small.set_aside == 0.0


@pytest.mark.parametrize(
    "fields",
    [{"outcome": "failure"}, {"user_id": "ada"}, {"timestamp": MONDAY}],
    ids=["only failures", "one user", "all at one time"],
)
def test_lopsided_events_train(fields: dict[str, object]) -> None:
    events = [login(number, **fields) for number in range(60)]
    lopsided = train(events, settings=FAST)
    assert np.isfinite(lopsided.score_quantiles).all()
    assert 0.0 <= lopsided.set_aside <= 1.0


def test_the_same_seed_trains_the_same(trained: Trained) -> None:
    assert outcome(train(office(), settings=FAST)) == outcome(trained)


def test_another_seed_trains_other_detectors_on_the_same_history(trained: Trained) -> None:
    other = train(office(), settings=replace(FAST, seed=7))
    assert outcome(other) != outcome(trained)
    assert other.history == trained.history
    assert other.spec.surprise == trained.spec.surprise


def test_the_order_of_the_events_is_irrelevant(trained: Trained) -> None:
    assert outcome(train(office()[::-1], settings=FAST)) == outcome(trained)


def test_windows_are_those_asked_for() -> None:
    chosen = Windows(failures="1h")
    assert train(office(), settings=replace(FAST, windows=chosen)).spec.windows == chosen
    with pytest.raises(UnknownWindow, match="failures"):
        train(office(), settings=replace(FAST, windows=Windows(failures="7d")))


def test_what_is_fitted_fits_together(trained: Trained) -> None:
    spec = trained.spec
    assert set(spec.detectors) == set(trained.detectors) == set(trained.detector_quantiles)
    assert len(spec.surprise.curves) == len(FEATURES)
    assert 0.99 < spec.threshold < 1.0
    for quantiles in (trained.score_quantiles, *trained.detector_quantiles.values()):
        assert quantiles == sorted(quantiles)
        assert min(quantiles) >= 0.0
        assert max(quantiles) < 1.0


def test_the_background_is_in_decades_of_surprise(trained: Trained) -> None:
    assert trained.background.shape == (BACKGROUND_ROWS, len(FEATURES))
    assert trained.background.dtype == np.float32
    assert (trained.background >= 0).all()
    # Nothing can be rarer in 300 events than one in 301.
    assert trained.background.max() <= np.log10(301) - COMMONPLACE + 1.0
    assert (trained.background == 0).mean() > 0.8


def test_ordinary_events_are_all_learned(trained: Trained) -> None:
    assert learned_events(trained) == 300
    assert trained.set_aside == 0.0
    assert country_bits(trained, "DE") == 0


def test_training_ids_do_not_count_as_seen(trained: Trained) -> None:
    facts = history_of(trained).observe(office()[-1:], now_s=4e9)
    assert not facts.duplicate.any()


def test_labelled_anomalies_are_kept_out_of_everything() -> None:
    events, labels = raided()
    clean = train([e for e in events if e.event_id not in labels], settings=FAST)
    told = train(events, settings=FAST, anomalous=labels)
    assert told.set_aside == pytest.approx(len(labels) / len(events))
    assert learned_events(told) == learned_events(clean) == len(events) - len(labels)
    assert country_bits(told, "KP") == country_bits(clean, "KP") > 2


def test_labelled_anomalies_stay_out_where_nothing_else_is_plain() -> None:
    """Attacks nobody labelled are a poor thing to learn from; labelled ones are no choice."""
    plainly = [login(n, failed_attempts=50) for n in range(60)]
    events = plainly + [login(n, country="KP") for n in range(60, 80)]
    labels = frozenset(event.event_id for event in events[60:])
    assert train(events, settings=FAST, anomalous=labels).set_aside == 0.25


def test_only_labelled_anomalies_train_something() -> None:
    events = office(40)
    labels = frozenset(event.event_id for event in events)
    assert train(events, settings=FAST, anomalous=labels).set_aside == 0.0


def test_plain_attacks_are_never_learned() -> None:
    events = [login(n, failed_attempts=50) if n % 10 == 9 else login(n) for n in range(300)]
    told = train(events, settings=FAST)
    assert told.set_aside == pytest.approx(0.1)
    assert learned_events(told) == 270


def test_what_looks_strange_is_not_learned_once_users_are_known() -> None:
    """Ten raids at the end of a long calm: no label says so, and no baseline takes them up."""
    theirs = {"country": "KP", "device_id": "burner", "resource": "payroll", "user_id": "ada"}
    raids = [login(1200 + 12 * n, event_id=f"raid{n}", **theirs) for n in range(10)]
    told = train(office(1200) + raids, settings=FAST)
    assert country_bits(told, "KP") > 2


def test_steps_are_told_in_order() -> None:
    steps: list[str] = []
    train(office(60), settings=FAST, step=steps.append)
    assert steps[0] == "learning habits"
    assert steps[-1] == "calibrating"
    assert [step for step in steps if "isolation" in step] == ["fitting isolation_forest"]


def test_detectors_export_what_they_score(
    trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("export")
    for name, detector in trained.detectors.items():
        path = folder / f"{name}.onnx"
        detector.export(path)
        exported = OnnxScorer(path, name=name, version="v").score(trained.background).values
        assert exported == pytest.approx(detector.score(trained.background), abs=1e-3)


def test_detectors_are_weighed_on_later_events(monkeypatch: pytest.MonkeyPatch) -> None:
    events = office(1200)
    assert train(events, settings=FAST).weighing.basis == "equal"
    for module in (training, weighing):
        monkeypatch.setattr(module, "LEAST_DETECTORS", 2)
        monkeypatch.setattr(module, "LEAST_EVENTS", 100)
    chosen = train(events, settings=FAST)
    assert chosen.weighing.basis == "agreement"
    assert chosen.spec.weights == chosen.weighing.weights
    assert set(chosen.spec.weights) == set(FAST.detectors)
    given = train(events, settings=replace(FAST, weights={"one_class_svm": 0.5}))
    assert given.weighing.basis == "given"
    assert given.spec.weights == {"one_class_svm": 0.5}
    heedless = train(events, settings=replace(FAST, method="max"))
    assert heedless.weighing.basis == "equal"
