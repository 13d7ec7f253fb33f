import json
from pathlib import Path

import pytest

from ensemble.scorer import ENSEMBLE_FILE, ensemble_of, load_bundle
from models.bundle import write_bundle
from services.cli import main


@pytest.fixture(scope="module")
def stricter(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bundle`` with a higher threshold and another version."""
    import msgspec

    loaded = load_bundle(bundle)
    spec = msgspec.structs.replace(ensemble_of(loaded), threshold=0.999, budget=5.0)
    files = {name: loaded.read(name) for name in loaded.files if not name.endswith(".onnx")}
    details = msgspec.structs.replace(
        loaded.manifest.details, settings={**loaded.manifest.details.settings, "budget": 5.0}
    )
    made = write_bundle(
        tmp_path_factory.mktemp("stricter") / "b",
        version="stricter",
        schema=loaded.schema,
        detectors={name: loaded.read(f"{name}.onnx") for name in loaded.detectors},
        files={**files, ENSEMBLE_FILE: spec.encode()},
        details=details,
        created=loaded.manifest.created,
    )
    return made.path


def test_without_events_the_making_is_compared(
    bundle: Path, stricter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "diff", str(bundle), str(stricter), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["versions"] == [load_bundle(bundle).version, "stricter"]
    assert document["differences"] == {"budget": [25.0, 5.0]}
    assert document["events"] is None
    assert main(["models", "diff", str(bundle), str(bundle)]) == 0
    assert capsys.readouterr().out == "both were made alike\n"


def test_a_higher_threshold_loses_alerts_and_gains_none(
    bundle: Path, stricter: Path, small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--events", str(small_set / "events.csv"), "--labels", str(small_set / "labels.csv")]
    assert main(["models", "diff", str(bundle), str(stricter), *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["events"]
    assert found["scored"] == 600
    assert found["gained"]["events"] == 0
    lost = found["lost"]
    assert lost["events"] == found["first"]["alerts"] - found["both"] > 0
    assert lost["events"] == len(lost["examples"]) == sum(lost["reasons"].values())
    assert lost["anomalous"] == sum(example["anomalous"] for example in lost["examples"])
    users = {example["user_id"] for example in lost["examples"]}
    assert found["users_affected"] == lost["users"] == len(users)
    assert found["second"]["recall"] < found["first"]["recall"]
    assert 0.0 < found["rank_correlation"] <= 1.0


def test_a_terminal_gets_tables(
    bundle: Path, stricter: Path, small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--events", str(small_set / "events.csv")]
    assert main(["models", "diff", str(bundle), str(stricter), *words]) == 0
    told = capsys.readouterr().out
    for title in ("how they were made", "alerts of each", "by their weightiest reason"):
        assert title in told
    assert "events judged by both: 600" in told
    assert "alerts lost" in told
    assert "alerts gained" not in told
