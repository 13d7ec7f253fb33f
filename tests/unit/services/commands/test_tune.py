"""`ztad tune` without Ray: what it refuses, what it tells, and what it records."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from ensemble.budget import DEFAULT_BUDGET
from models.registry import Registry
from services.cli import main
from services.commands import searches, tune
from services.commands.searches import Plan
from services.commands.trials import shown
from tuning.journal import Journal, Trial

DONE = {"objective": 0.5, "recall": 0.6, "alerts_per_1000": 30.0, "effort": 100.0}
CUT = {**DONE, "objective": 0.2, "effort": 33.0}
TOLD = {
    "kept": "tuned",
    "trials": {"all": 2, "complete": 1, "failed": 0, "minutes": 1.5},
    "validation": {"default": {"objective": 0.4}, "best": {"objective": 0.5}},
    "held_out": None,
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTAD_HOME", str(tmp_path / "home"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["tune", *words]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_options_repeat_what_the_ensemble_knows() -> None:
    assert tune.BUDGET == DEFAULT_BUDGET


def test_what_is_missing_is_named(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = str(small_set / "events.csv")
    assert "give --events and --out, or --resume" in refused(capsys)
    assert "give --events and --out" in refused(capsys, "--events", events)
    assert "no search to resume" in refused(capsys, "--resume")
    out = str(tmp_path / "out")
    assert f"{out}: no search to resume" in refused(capsys, "--resume", "--out", out)
    assert "expected a whole number above 0" in refused(capsys, "--trials", "0")
    assert "expected a number above 0" in refused(capsys, "--minutes", "nan")
    unknown = refused(capsys, "--events", events, "--out", out, "--detectors", "magic")
    assert "unknown detector 'magic', expected one of isolation_forest" in unknown


def test_a_secret_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Options go into the registry as they are."""
    told = refused(capsys, "--storage", "s3://AKIAEXAMPLE:wJalrXUtnFEMI@bucket/trials")
    assert "expected a path or URI without" in told
    assert "wJalrXUtnFEMI" not in told


def test_a_search_under_way_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    folder = searches.folder_of(tmp_path / "home", out)
    with searches.alone(folder):
        searches.begin(folder, anew=False, out=out)
        searches.write(folder, Plan({}, "f"))
        assert "under way in another process" in refused(capsys, "--resume", "--out", str(out))
        assert "under way in another process" in refused(capsys, "--resume")


def test_labels_of_other_days_are_refused_before_the_search(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("event_id,is_anomaly\nelsewhere,1\n")
    words = ["--events", str(small_set / "events.csv"), "--labels", str(labels)]
    told = refused(capsys, *words, "--out", str(tmp_path / "out"))
    assert "no event of the held-out slice" in told
    assert "labelled anomalous" in told


def test_other_events_are_not_resumed(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    folder = searches.folder_of(tmp_path / "home", out)
    searches.begin(folder, anew=False, out=out)
    options = {
        "events": str(small_set / "events.csv"), "format": "auto", "year": None,
        "timezone": "UTC", "since": None, "until": None, "labels": None, "out": str(out),
    }  # fmt: skip
    searches.write(folder, Plan(options, "of other events"))
    assert "have changed since" in refused(capsys, "--resume", "--out", str(out))


def trial(number: int, *reports: dict[str, float]) -> Trial:
    return Trial(
        number=number, trial_id=str(number), stage="one", choice={}, reports=reports, elapsed_s=60.0
    )  # fmt: skip


def test_in_a_pipe_the_best_so_far_is_told() -> None:
    out = io.StringIO()
    better = {**DONE, "objective": 0.7}
    with shown([trial(0, DONE)], 10, stream=out) as tell:
        tell(trial(1, CUT))
        tell(trial(2, better))
    assert out.getvalue().splitlines() == [
        "search: resumed, trials on record: 1",
        "search: trial 2 (one): objective 0.700; 3 trials, 2 to their end",
        "search: 3 trials, 2 to their end",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_best_are_a_table() -> None:
    out = Terminal()
    with shown([], 10, stream=out) as tell:
        for number in range(12):
            tell(trial(number, {**DONE, "objective": number / 100}))
    told = out.getvalue()
    assert "12 trials, 12 to their end of at most 10, 1.0 min" in told.replace("\n", " ")
    assert "0.110" in told


def test_the_registry_has_every_trial_once(tmp_path: Path, registry: Registry) -> None:
    folder = tmp_path / "search"
    searches.begin(folder, anew=False, out=tmp_path)
    journal = Journal(folder)
    journal.add("a", "default", {"one_class_svm.nu": 0.1}, [CUT, DONE], elapsed_s=1.0)
    journal.add("b", "one_class_svm", {"one_class_svm.nu": 0.3}, [CUT], elapsed_s=2.0)
    plan = Plan({"trials": 2, "labels": "labels.csv"}, "f" * 64)
    run = tune.log_search(registry.tracking, folder, plan, journal, TOLD)
    assert searches.read(folder, None).run == run, "for a search that is cut off while it tells"
    again = tune.log_search(registry.tracking, folder, searches.read(folder, None), journal, TOLD)
    assert again == run
    client, experiment = registry.tracking.client, registry.tracking.experiment
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'")
    told = {one.data.params["one_class_svm.nu"]: one for one in runs}
    assert set(told) == {"0.1", "0.3"}
    assert told["0.1"].data.metrics["objective"] == 0.5
    assert told["0.3"].data.tags["ztad.state"] == "pruned"
    steps = client.get_metric_history(told["0.1"].info.run_id, "objective")
    assert [step.value for step in steps] == [0.2, 0.5]
    whole = client.get_run(run).data
    assert whole.tags["ztad.fingerprint"] == "f" * 64
    assert whole.metrics["validation.best"] == 0.5
    assert json.loads(whole.params["trials"]) == 2


def test_a_registry_that_fails_costs_no_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home" / "registry").mkdir(parents=True)
    (tmp_path / "home" / "registry" / "mlflow.db").write_text("no database")
    searches.begin(tmp_path / "search", anew=False, out=tmp_path)
    registry = Registry(tmp_path / "home")
    journal = Journal(tmp_path / "search")
    assert (
        tune.log_search(registry.tracking, tmp_path / "search", Plan({}, "f"), journal, TOLD) == ""
    )
    assert "ztad tune: warning: registry" in capsys.readouterr().err
