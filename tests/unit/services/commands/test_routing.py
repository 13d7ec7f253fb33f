from __future__ import annotations

import json
from typing import Any

import pytest

from services.cli import main


def test_shows_who_answers(routing_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(routing_server.server_address[1])
    assert main(["routing", "show", "--port", port]) == 0
    assert main(["routing", "--port", port]) == 0
    shown, again = capsys.readouterr().out.split("champion")[1:]
    assert shown == again
    told = f"champion{shown}".splitlines()
    assert told == ["champion 1 100 %", "revision 7, changed at 2026-11-22T08:00:00Z by "]
    assert main(["routing", "show", "--json", "--url", routing_server.url]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["champion"] == {"version": "1", "weight": 100.0}
    assert document["revision"] == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--champion", "2"], "champion 2 100 %"),
        (["--champion", "1=90", "--challenger", "2=10"], "champion 1 90 %, challenger 2 10 %"),
        (["--champion", "1", "--challenger", "2=30"], "champion 1 70 %, challenger 2 30 %"),
        (["--champion", "1", "--shadow", "3"], "champion 1 100 %, shadow 3"),
        (["--champion", "1", "--challenger", "2"], "champion 1 100 %, challenger 2 0 %"),
    ],
)
def test_sets_who_answers(
    words: list[str], told: str, routing_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["routing", "set", *words, "--url", routing_server.url]) == 0
    assert capsys.readouterr().out == f"{told}\n"
    assert routing_server.changes == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--champion", "1=90", "--challenger", "2=20"], "--champion 1=90: expected 80, to make"),
        (["--champion", "1=90"], "--champion 1=90: expected 100, to make 100 %"),
        (["--champion", "9"], "version 9 is not here"),
        (["--champion", "1", "--shadow", "1"], "1 is already the champion; give another version"),
        (["--champion", "1=x"], "'1=x': expected VERSION or VERSION=PERCENT"),
        (["--champion", "1", "--challenger", "2=101"], "'2=101': expected VERSION or"),
        ([], "the following arguments are required: --champion"),
        (["--champion", "1", "--url", "http://me:s3cret@h"], "an address: expected http(s)://HOST"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    words: list[str], problem: str, routing_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [] if "--url" in words else ["--url", routing_server.url]
    assert main(["routing", "set", *words, *where]) == 2
    told = capsys.readouterr()
    assert problem in told.err
    assert "s3cret" not in told.err
    assert (told.out, told.err.count("\n"), routing_server.changes) == ("", 1, 0)
