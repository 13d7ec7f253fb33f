import socket
import subprocess
import sys
from pathlib import Path

import pytest

from models.bundle import Bundle, write_bundle
from models.manifest import Details, Schema
from models.registry import Registry
from models.tracking import RegistryUnavailable, Tracking

ROOT = Path(__file__).resolve().parents[3]


def trained(path: Path) -> Bundle:
    details = Details(
        metrics={"events": 600, "threshold": 0.99, "first_event": "2026-01-01T00:00:00Z"},
        settings={
            "budget": 25.0,
            "detectors": ["autoencoder"],
            "parameters": {"autoencoder": {"max_epochs": 5}},
            "score_quantiles": [0.0] * 1001,
        },
        fingerprint="f00d",
    )
    return write_bundle(
        path, version="1", schema=Schema("s", ("a",)), detectors={}, files={}, details=details
    )


def test_a_training_is_on_record_with_what_its_manifest_tells(
    registry: Registry, tmp_path: Path
) -> None:
    tracking = registry.tracking
    run = tracking.log_training(
        trained(tmp_path / "b"), retrained_from="0", metrics={"recall": 0.5}
    )
    told = tracking.client.get_run(run)
    assert told.info.status == "FINISHED"
    assert told.info.run_name == "1"
    assert told.data.metrics == {"events": 600.0, "threshold": 0.99, "recall": 0.5}
    assert told.data.params == {
        "budget": "25.0",
        "detectors": "['autoencoder']",
        "parameters.autoencoder.max_epochs": "5",
        "first_event": "2026-01-01T00:00:00Z",
    }
    tags = told.data.tags
    assert (tags["ztad.kind"], tags["ztad.fingerprint"]) == ("training", "f00d")
    assert (tags["ztad.version"], tags["ztad.retrained_from"]) == ("1", "0")
    assert "ztad.library.numpy" in tags


def test_what_is_wrong_with_a_name_is_told_in_one_line(registry: Registry) -> None:
    with pytest.raises(RegistryUnavailable) as refused:
        registry.tracking.start_search("search", settings={"a\nb": 1})
    assert "\n" not in str(refused.value)


def test_trials_belong_to_their_search(registry: Registry) -> None:
    tracking = registry.tracking
    search = tracking.start_search("search", settings={"trials": 2}, fingerprint="f00d")
    first = tracking.log_trial(
        search, 0, parameters={"autoencoder": {"bottleneck": 4}}, metrics={"recall": [0.1, 0.4]}
    )
    second = tracking.log_trial(search, 1, parameters={}, metrics={"recall": 0.2}, state="pruned")
    third = tracking.log_trial(search, 2, parameters={}, metrics={}, state="failed")
    tracking.finish(search, metrics={"recall": 0.4})

    steps = tracking.client.get_metric_history(first, "recall")
    assert [(step.step, step.value) for step in steps] == [(0, 0.1), (1, 0.4)]
    told = [tracking.client.get_run(run) for run in (first, second, third)]
    assert told[0].data.params == {"autoencoder.bottleneck": "4"}
    assert {run.data.tags["mlflow.parentRunId"] for run in told} == {search}
    assert {run.data.tags["ztad.fingerprint"] for run in told} == {"f00d"}
    assert [run.data.tags["ztad.state"] for run in told] == ["finished", "pruned", "failed"]
    assert [run.info.status for run in told] == ["FINISHED", "FINISHED", "FAILED"]
    assert tracking.client.get_run(search).data.metrics == {"recall": 0.4}


def test_a_resumed_search_may_tell_a_trial_again(registry: Registry) -> None:
    search = registry.tracking.start_search("search", settings={})
    told = registry.tracking.log_trial(search, 7, parameters={}, metrics={"recall": 0.3})
    again = Tracking(registry.folder.parent)
    assert again.log_trial(search, 7, parameters={}, metrics={"recall": 0.9}) == told
    assert again.client.get_run(told).data.metrics == {"recall": 0.3}


def test_many_parameters_and_steps_are_no_problem(registry: Registry) -> None:
    tracking = registry.tracking
    search = tracking.start_search("search", settings={f"p{n}": n for n in range(250)})
    tracking.finish(search, metrics={"loss": [1 / (1 + n) for n in range(1500)]})
    told = tracking.client.get_run(search).data
    assert len(told.params) == 250
    assert len(tracking.client.get_metric_history(search, "loss")) == 1500


def test_without_mlflow_it_says_what_to_install(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RegistryUnavailable, match=r"needs MLflow.*pip install 'ztad\[train\]'"):
        registry.versions()


def test_what_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "mlflow.db").write_text("something else")
    with pytest.raises(
        RegistryUnavailable, match="file is not a database: mend it, or move it away"
    ):
        Registry(tmp_path).versions()


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("a file where a directory should be")
    with pytest.raises(RegistryUnavailable, match="File exists"):
        Tracking(tmp_path).start_search("search", settings={})


def test_two_processes_may_make_the_database(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from models.tracking import Tracking
tracking = Tracking(Path({str(tmp_path)!r}))
print("ready", flush=True)
sys.stdin.readline()
print(tracking.start_search("search", settings={{}}))
"""
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    tracking = Tracking(tmp_path)
    assert {tracking.client.get_run(run.strip()).info.run_name for run, _ in told} == {"search"}


def test_a_server_that_is_down_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(RegistryUnavailable, match=f"^registry {address}: the server cannot be"):
            Registry(tmp_path, address).versions()


def test_mlflow_is_imported_when_it_is_needed_without_pandas_and_reports_to_nobody(
    registry: Registry, tmp_path: Path
) -> None:
    program = f"""
import sys
from pathlib import Path
from models.registry import Registry
assert not {{"mlflow", "sqlalchemy"}} & set(sys.modules)
assert Registry(Path({str(tmp_path)!r})).versions() == []
assert not {{"mlflow", "sqlalchemy"}} & set(sys.modules)
assert Registry(Path({str(registry.folder.parent)!r})).versions() == []
assert "mlflow" in sys.modules
assert "pandas" not in sys.modules
from mlflow.telemetry.utils import is_telemetry_disabled
assert is_telemetry_disabled()
"""
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
