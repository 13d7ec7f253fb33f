import json
from pathlib import Path

import pytest

from services.cli import main


def _evaluate(bundle: Path, events: Path, labels: Path, *words: str) -> int:
    command = ["evaluate", "--bundle", str(bundle), "--events", str(events)]
    return main([*command, "--labels", str(labels), *words])


def test_json_on_stdout_tables_on_stderr_report_in_out(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, labels = small_set / "events.csv", small_set / "labels.csv"
    words = ("--expected-share", "0.4", "--out", str(tmp_path / "report"))
    assert _evaluate(bundle, events, labels, *words) == 0
    told = capsys.readouterr()
    metrics = json.loads(told.out)
    assert metrics["events"]["labelled"] == 600
    assert metrics["table"][-1]["name"] == "ensemble"
    assert metrics["ranking"]["ensemble"]["roc_auc"] > 0.6
    assert "at the threshold of the expected share" in told.err
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == metrics
    assert (tmp_path / "report" / "scores.csv").read_text().count("\n") == 601


def test_one_class_gives_null_and_a_note(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (small_set / "labels.csv").read_text().splitlines()
    ordinary = [line for line in lines if ",0," in line]
    labels = tmp_path / "ordinary.csv"
    labels.write_text("\n".join([lines[0], *ordinary]) + "\n")
    assert _evaluate(bundle, small_set / "events.csv", labels) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert set(metrics["ranking"]["ensemble"].values()) == {None}
    assert metrics["at_budget"]["ensemble"]["recall"] is None
    assert any("no event is labelled anomalous" in note for note in metrics["notes"])
    assert metrics["events"]["without_label"] == 600 - len(ordinary)


def test_labels_of_other_events_are_refused(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("event_id,is_anomaly\nelsewhere,1\n")
    assert _evaluate(bundle, small_set / "events.csv", labels) == 2
    told = capsys.readouterr()
    assert told.err.endswith("no label belongs to any of 600 events\n")
    assert told.out == ""


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "40%", "nan"])
def test_a_share_lies_between_0_and_1(
    share: str, bundle: Path, small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--expected-share", share)
    assert _evaluate(bundle, small_set / "events.csv", small_set / "labels.csv", *words) == 2
    assert "expected a share between 0 and 1" in capsys.readouterr().err


def test_both_from_stdin_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _evaluate(bundle, Path("-"), Path("-")) == 2
    assert "cannot hold both --events and --labels" in capsys.readouterr().err
