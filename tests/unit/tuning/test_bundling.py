from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble.calibration import fit
from ensemble.decision import EnsembleSpec
from ensemble.scorer import BACKGROUND_FILE, ensemble_of, feature_schema, history_of, load_bundle
from models.bundle import write_bundle
from models.isolation_forest import IsolationForest
from models.manifest import NotReplaceable
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.surprise import fit as fit_surprise
from tuning.bundling import Origin, next_version, write
from tuning.train import Trained, TrainingSettings

EVENT = AuthEvent(datetime(2026, 1, 2, tzinfo=UTC), "ada", "success", event_id="e1")
ORIGIN = Origin(events=[EVENT], settings=TrainingSettings(), fingerprint="f", training_s=1.25)


def _trained() -> Trained:
    x = np.random.default_rng(0).random((50, len(feature_schema().names)), np.float32)
    calibration = fit(np.arange(50.0))
    spec = EnsembleSpec(
        method="mean",
        weights={},
        detectors={"isolation_forest": calibration},
        combined=calibration,
        budget=25.0,
        threshold=0.99,
        surprise=fit_surprise(x),
    )
    detectors: dict[str, Any] = {"isolation_forest": IsolationForest().fit(x)}
    history = EmbeddedHistory().snapshot(seen=False)
    return Trained(
        detectors=detectors,
        spec=spec,
        history=history,
        background=x[:3],
        score_quantiles=[0.0, 1.0],
        detector_quantiles={"isolation_forest": [0.0, 0.5]},
        set_aside=0.25,
    )


def test_a_bundle_holds_the_whole_training(tmp_path: Path) -> None:
    trained = _trained()
    write(trained, tmp_path / "b", version="2026-11-22.1", origin=ORIGIN)
    bundle = load_bundle(tmp_path / "b")
    assert bundle.detectors == ("isolation_forest",)
    assert ensemble_of(bundle) == trained.spec
    assert history_of(bundle).users == 0
    details = bundle.manifest.details
    background = np.frombuffer(bundle.read(BACKGROUND_FILE), np.float32)
    shape = details.settings["background_shape"]
    assert np.array_equal(background.reshape(shape), trained.background)
    assert details.settings["windows"] == {
        "failures": "15m", "address_failures": "15m", "guesses": "1d", "denials": "15m",
    }  # fmt: skip
    assert details.settings["detector_quantiles"] == {"isolation_forest": [0.0, 0.5]}
    assert (details.metrics["events"], details.metrics["set_aside"]) == (1, 0.25)
    assert details.metrics["last_event"] == "2026-01-02T00:00:00Z"
    assert details.fingerprint == "f"


def test_versions_count_within_a_day(tmp_path: Path) -> None:
    path = tmp_path / "b"
    assert next_version(path, "2026-11-22") == "2026-11-22.1"
    write(_trained(), path, version="2026-11-22.9", origin=ORIGIN)
    assert next_version(path, "2026-11-22") == "2026-11-22.10"
    assert next_version(path, "2026-11-23") == "2026-11-23.1"


def test_a_version_of_another_make_starts_the_count(tmp_path: Path) -> None:
    write_bundle(tmp_path, version="mine", schema=feature_schema(), detectors={}, files={})
    assert next_version(tmp_path, "2026-11-22") == "2026-11-22.1"


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json"])
def test_what_is_no_bundle_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(NotReplaceable):
        next_version(tmp_path, "2026-11-22")
    with pytest.raises(NotReplaceable):
        next_version(tmp_path / name, "2026-11-22")


def test_an_empty_directory_is_free(tmp_path: Path) -> None:
    assert next_version(tmp_path, "2026-11-22") == "2026-11-22.1"
