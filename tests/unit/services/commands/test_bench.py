"""``ztad bench``: what it refuses before anything is measured, and what it leaves behind."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from services.bench.subject import Subject
from services.cli import main
from services.commands.bench import _subject


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--seconds", "0"], "--seconds: from 0.1 to 3600"),
        (["--seconds", "nan"], "--seconds: from 0.1 to 3600"),
        (["--runs", "0"], "--runs: at least 1"),
        (["--stages", "--events", "-5"], "--events: at least 1"),
        (["--queries", "--rows", "0"], "--rows: at least 1"),
        (["--faults", "--stages"], "not allowed with argument --faults"),
    ],
)
def test_options_that_cannot_be_meant(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["--faults", "--stream", "--stream-faults", "--queries"])
def test_what_is_never_compared_is_not_kept(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", kind, "--keep", "reports"]) == 2
    assert "--out FILE" in capsys.readouterr().err


def test_what_a_measured_graph_kept_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it begin with what a run that was killed left behind."""
    old = tmp_path / "graph-1" / "store" / "verdicts.db"
    old.parent.mkdir(parents=True)
    old.touch()
    found: list[Path] = []

    def start(command: list[str], *_: Any) -> Subject:
        assert not old.exists()
        for option in ("--state-dir", "--store-dir"):
            found.append(Path(command[command.index(option) + 1]))
            found[-1].mkdir(parents=True)
        return Subject("127.0.0.1", 1, tmp_path, None)

    monkeypatch.setattr("services.bench.subject.start", start)
    with _subject(Namespace(url=None, port=1), tmp_path, tmp_path, ""):
        assert all(each.is_dir() for each in found)
    assert len(found) == 2
    assert not any(tmp_path.iterdir())
