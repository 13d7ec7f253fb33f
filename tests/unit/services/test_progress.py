import io

import pytest

from services.progress import progress, through


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_a_line_at_start_each_quarter_and_end() -> None:
    out = io.StringIO()
    with progress("scoring", 1_000, stream=out) as bar:
        for _ in range(100):
            bar.advance(10)
    lines = out.getvalue().splitlines()
    assert lines[:4] == [
        "scoring: 1,000 to do",
        "scoring: 250 of 1,000",
        "scoring: 500 of 1,000",
        "scoring: 750 of 1,000",
    ]
    assert lines[4].startswith("scoring: 1,000 done in ")
    assert len(lines) == 5


def test_one_big_step_is_one_line_not_three() -> None:
    out = io.StringIO()
    with progress("scoring", 100, stream=out) as bar:
        bar.advance(80)
    assert out.getvalue().splitlines()[1] == "scoring: 80 of 100"
    assert out.getvalue().count("\n") == 3


def test_nothing_to_do_is_no_error() -> None:
    out = io.StringIO()
    with progress("scoring", 0, stream=out) as bar:
        bar.advance(0)
    assert "scoring: 0 done in " in out.getvalue()


def test_a_failure_does_not_look_finished() -> None:
    out = io.StringIO()
    with pytest.raises(OSError, match="disk"), progress("writing", 10, stream=out):
        raise OSError("disk")
    assert "done" not in out.getvalue()


def test_a_walk_through_time_shows_its_share_and_where_it_is() -> None:
    out = Terminal()
    with through("replaying", 86400.0 * 2, stream=out) as advance:
        advance(250, 0.0)
        advance(250, 86400.0)
        advance(100, 86400.0 * 1.5)
    assert "600 events, 1970-01-02" in out.getvalue()
    assert "100%" in out.getvalue()


def test_a_terminal_gets_a_bar() -> None:
    out = Terminal()
    with progress("scoring", 10, stream=out) as bar:
        bar.advance(10)
    assert "10/10" in out.getvalue()
