import argparse
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from preprocessing.sources import SourceError
from services.commands.inputs import (
    Counts,
    add_input_options,
    all_events,
    moment,
    read_events,
    time_zone,
)

HEADER = "timestamp,user_id,outcome\n"


def _args(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_input_options(parser)
    return parser.parse_args(words)


def _file(folder: Path, *rows: str) -> str:
    path = folder / "events.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return str(path)


def test_counts_events_and_rejected_lines(tmp_path: Path) -> None:
    path = _file(tmp_path, "2026-01-02T00:00:00Z,ada,success", "yesterday,bob,success")
    counts = Counts()
    rejected: list[int] = []
    events = read_events(
        _args("--events", path), counts, doing="x", rejected=lambda bad: rejected.append(1)
    )
    assert [event.user_id for event in events] == ["ada"]
    assert (counts.events, counts.rejected, rejected) == (1, 1, [1])
    assert counts.refusals.startswith("1 line rejected; the first, line 3: timestamp: expected")


def test_from_is_included_and_until_is_not(tmp_path: Path) -> None:
    path = _file(tmp_path, *(f"2026-01-0{day}T00:00:00Z,u{day},success" for day in range(1, 6)))
    args = _args("--events", path, "--from", "2026-01-02", "--until", "2026-01-04T00:00:00Z")
    counts = Counts()
    assert [e.user_id for e in read_events(args, counts, doing="x")] == ["u2", "u3"]
    assert counts.outside == 3


def test_progress_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _file(tmp_path, "2026-01-02T00:00:00Z,ada,success")
    all_events(_args("--events", path), Counts())
    told = capsys.readouterr()
    assert told.err.startswith("reading events: 1 done in ")
    assert told.out == ""


@pytest.mark.parametrize(
    ("rows", "words", "problem"),
    [
        ((), (), "no event, only a header"),
        (("never,ada,success",), (), "no usable event: 1 line rejected; the first, line 2: times"),
        (
            ("2026-01-02T00:00:00Z,ada,success",),
            ("--from", "2026-02-01"),
            "none of its 1 events lies between --from and --until",
        ),
    ],
)
def test_no_event_says_why(
    rows: tuple[str, ...], words: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, *rows)
    with pytest.raises(SourceError) as caught:
        all_events(_args("--events", path, *words), Counts())
    assert str(caught.value).startswith(f"{path}: {problem}")


def test_a_log_without_logins_says_so(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("Mar 27 13:06:56 host CRON[1]: pam_unix(cron:session): session closed\n")
    with pytest.raises(SourceError, match="none of its 1 lines is an authentication event"):
        all_events(_args("--events", str(log), "--year", "2017"), Counts())


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("UTC", UTC),
        ("utc", UTC),
        ("+02:00", timezone(timedelta(hours=2))),
        ("-0330", timezone(-timedelta(hours=3, minutes=30))),
        ("Europe/Berlin", ZoneInfo("Europe/Berlin")),
    ],
)
def test_time_zones(text: str, zone: tzinfo) -> None:
    assert time_zone(text) == zone


@pytest.mark.parametrize("text", ["Mars/Base", "", "+99:00", "../../etc/passwd", "\0"])
def test_unknown_time_zone(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="unknown time zone"):
        time_zone(text)


def test_a_date_begins_at_midnight_utc() -> None:
    assert moment("2026-01-02") == datetime(2026, 1, 2, tzinfo=UTC)
    assert moment("2026-01-02T10:00:00+02:00") == datetime(2026, 1, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-01-02T10:00:00", "yesterday", "", "1700000000"])
def test_a_time_needs_its_offset(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected RFC 3339 with an offset"):
        moment(text)


@pytest.mark.parametrize("text", ["1999", "-1", "soon", "20255"])
def test_bad_years(text: str) -> None:
    with pytest.raises(SystemExit):
        _args("--events", "x", "--year", text)
