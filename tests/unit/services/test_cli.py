import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[3]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"    {name} " in told for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: ztad {name} ")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ztad ")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "ztad: the following arguments are required: COMMAND"),
        (["nope"], "ztad: argument COMMAND: invalid choice: 'nope'"),
        (["score", "--bundle", "b"], "ztad score: the following arguments are required: --events"),
        (["train", "--events", "x", "--out", "y", "--alert-budget", "0"], "ztad train: argument"),
        (
            ["train", "--events", "x", "--out", "y", "--ever"],
            "ztad: unrecognized arguments: --ever",
        ),
        (["train", "--events", "x", "--out", "y", "--timezone", "Mars/Base"], "ztad train: arg"),
        (["serve", "--port", "65536"], "ztad serve: argument --port: '65536': expected a port"),
        (["stop", "--port", "0"], "ztad stop: argument --port: '0': expected a port from 1"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.err.startswith(problem)
    assert told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["train", "--events", "gone.csv", "--out", "b"], "train: gone.csv: no such file"),
        (["score", "--bundle", "b", "--events", "e", "--out", "o"], "score: b: not a ztad model"),
        (["evaluate", "--bundle", "b", "--events", "e", "--labels", "l"], "evaluate: b: not a zt"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"ztad {problem}")
    assert told.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_calling_a_command_imports_no_other() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tuning', 'tensorflow', 'ray', 'numpy']));"
        "from services.cli import main;"
        "sys.exit(main(['score', '--help']))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
