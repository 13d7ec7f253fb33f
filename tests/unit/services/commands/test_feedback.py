"""``ztad feedback`` as far as it goes without a gateway."""

from __future__ import annotations

import pytest

from services.cli import main


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "expected EVENT_ID with a disposition or --undo, or --list"),
        (["e1"], "expected EVENT_ID with a disposition or --undo, or --list"),
        (["e1", "safe", "--undo"], "expected EVENT_ID with a disposition or --undo, or --list"),
        (["e1", "fine"], "invalid choice: 'fine'"),
        (["--list", "--undo"], "not allowed with argument"),
        (["e1", "safe", "--url", "http://127.0.0.1:1"], "no gateway answers at"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["feedback", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert problem in told.err
