import argparse
from pathlib import Path

import pytest

from services.commands import generate


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    generate.add_parser(parser.add_subparsers())
    args = parser.parse_args(["generate", *words])
    return generate.run(args)


def test_writes_both_files_and_says_what_is_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("--events", "500", "--seed", "3", "--out", str(tmp_path / "set")) == 0
    assert (tmp_path / "set" / "events.csv").read_text().count("\n") == 501
    assert (tmp_path / "set" / "labels.csv").read_text().count("\n") == 501
    told = capsys.readouterr()
    assert "200 anomalous (40.0%)" in told.out
    assert "impossible_travel+off_hours_login" in told.out
    assert "generating seedlike: 500 done in" in told.err


def test_the_share_of_anomalies_is_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--scenario", "drift", "--events", "1000", "--anomaly-share", "0.01")
    assert _run(*words, "--out", str(tmp_path)) == 0
    assert "10 anomalous (1.0%)" in capsys.readouterr().out
    assert (tmp_path / "scenario.json").exists()


def test_fairness_prints_the_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--events", "500", "--out", str(tmp_path), "--fairness") == 0
    assert "raw columns, ROC-AUC: isolation_forest 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--scenario", "nope"), "unknown scenario 'nope'; known: seedlike, seedlike-dirty"),
        (("--events", "99"), "events must be at least 100, got 99"),
        (("--events", "-5"), "events must be at least 100, got -5"),
        (("--anomaly-share", "0.6"), "the anomaly share must be in [0, 0.5], got 0.6"),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_code_2(
    words: tuple[str, ...], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(*words, "--out", str(tmp_path)) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"ztad generate: {problem}")
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file")
    assert _run("--events", "100", "--out", str(tmp_path / "taken")) == 2
    assert capsys.readouterr().err.startswith(f"ztad generate: cannot write to {tmp_path}/taken: ")
