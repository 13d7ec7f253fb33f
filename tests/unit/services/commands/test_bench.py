"""``ztad bench``: options that cannot be meant are refused before anything is measured."""

from __future__ import annotations

import pytest

from services.cli import main


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
