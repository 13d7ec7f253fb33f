"""Searches under way: what was asked for survives, and nobody's search is lost by accident."""

from __future__ import annotations

import argparse
import stat
from datetime import UTC, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.commands import searches
from services.commands.inputs import moment
from services.commands.searches import NoSearch, Plan, UnderWay, Unfinished


def asked(folder: Path, **other: object) -> argparse.Namespace:
    options: dict[str, object] = {
        "command": "tune", "run": None, "resume": False, "anew": False,
        "events": "events.csv", "labels": None, "timezone": UTC, "since": None, "until": None,
        "minutes": 3.0, "trials": 7, "out": folder / "out",
    }  # fmt: skip
    return argparse.Namespace(**options | other)


@pytest.mark.parametrize(
    "zone", [UTC, ZoneInfo("Europe/Berlin"), timezone(-timedelta(hours=3, minutes=30))]
)
def test_the_same_search_is_resumed(
    zone: timezone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    since = moment("2026-06-01T08:00:00+02:00")
    args = asked(tmp_path, timezone=zone, since=since, labels="-")
    searches.begin(tmp_path / "tune" / "x", anew=False, out=args.out)
    searches.write(tmp_path / "tune" / "x", Plan(searches.options_of(args), "f", run="r"))
    monkeypatch.chdir("/")
    plan = searches.read(searches.latest(tmp_path), None)
    again = searches.namespace(plan, minutes=None)
    at = since.replace(tzinfo=None)
    assert again.timezone.utcoffset(at) == zone.utcoffset(at)
    assert again.since == since
    assert again.events == str(tmp_path / "events.csv"), "from any directory"
    assert (again.labels, again.until, again.out) == ("-", None, tmp_path / "out")
    assert (again.minutes, again.trials, plan.run) == (3.0, 7, "r")
    assert searches.namespace(plan, minutes=9.0).minutes == 9.0


def test_only_its_user_reads_a_search(tmp_path: Path) -> None:
    folder = searches.folder_of(tmp_path, tmp_path / "out")
    searches.begin(folder, anew=False, out=tmp_path / "out")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder == searches.folder_of(tmp_path, tmp_path / "out")
    assert folder != searches.folder_of(tmp_path, tmp_path / "other")


def test_a_search_that_was_cut_off_is_not_lost_by_accident(tmp_path: Path) -> None:
    folder = tmp_path / "tune" / "x"
    out = tmp_path / "out"
    searches.begin(folder, anew=False, out=out)
    searches.write(folder, Plan({}, "f"))
    with pytest.raises(Unfinished, match=r"go on with 'ztad tune --resume --out .*--anew"):
        searches.begin(folder, anew=False, out=out)
    searches.begin(folder, anew=True, out=out)
    assert list(folder.iterdir()) == []


def test_one_that_was_never_prepared_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = tmp_path / "tune" / "x"
    searches.begin(folder, anew=False, out=tmp_path)
    searches.begin(folder, anew=False, out=tmp_path)
    with pytest.raises(NoSearch, match="no search to resume"):
        searches.read(folder, tmp_path)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(NoSearch, match="start one without --resume"):
        searches.latest(tmp_path)


def test_two_processes_never_work_at_one_search(tmp_path: Path) -> None:
    folder = searches.folder_of(tmp_path, tmp_path / "out")
    elsewhere = searches.folder_of(tmp_path, tmp_path / "other")
    with searches.alone(folder), searches.alone(elsewhere):
        with pytest.raises(UnderWay, match="under way in another process"), searches.alone(folder):
            pass
        searches.begin(folder, anew=True, out=tmp_path / "out")
        with pytest.raises(UnderWay), searches.alone(folder):
            pass
    with searches.alone(folder):
        assert folder.exists()
