"""What an event costs as users grow, and by where the history is."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.bench.histories import Placed
from services.bench.stages import Staged
from services.bench.stages_table import (
    histories_rows,
    histories_table,
    users_rows,
    users_table,
)
from services.bench.subject import BenchError
from services.bench.traffic import save
from services.bench.users import Ask, Company, Grown, grow, run_users

PEOPLE = 4


@pytest.fixture(scope="module")
def week(training_events: list[AuthEvent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three events a day of each of four people, and one of somebody who comes too late."""
    start = training_events[0].timestamp
    events = [
        replace(
            training_events[number],
            event_id=f"e{number}",
            user_id=f"u{number % PEOPLE}",
            timestamp=start + timedelta(hours=2 * number),
        )
        for number in range(60)
    ]
    late = replace(events[0], event_id="late", user_id="new", timestamp=start + timedelta(days=4.5))
    path = tmp_path_factory.mktemp("week") / "events.ndjson"
    save(path, map(encode_event, [*events, late]))
    return path


def test_a_company_has_days_before_and_a_day_of_the_same_people(week: Path) -> None:
    company = Company(week)
    assert (len(company.known), len(company.measured)) == (48, 12)
    assert company.people == {f"u{number}" for number in range(PEOPLE)}


def test_too_few_days(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(
        b'{"event_id":"a","timestamp":"2026-01-05T09:00:00Z","user_id":"ann","outcome":"success"}\n'
    )
    with pytest.raises(BenchError, match="no events of a day after the first 4"):
        Company(path)


def test_small_sizes_are_measured_in_several_worlds(bundle: Bundle, week: Path) -> None:
    found = grow(Ask(str(bundle.path), str(week), users=8, events=48))
    assert (found.users, found.known, found.worlds) == (8, 12.0, 2)
    assert found.staged.events == 48
    assert {"observe", "learn"} <= found.staged.us.keys()
    assert found.rss_mib > 0


def test_large_sizes_are_a_sample(bundle: Bundle, week: Path) -> None:
    found = grow(Ask(str(bundle.path), str(week), users=400, events=30))
    assert (found.users, found.worlds, found.staged.events) == (400, 1, 36)


def test_a_size_that_fails(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="1,000 users: failed"):
        run_users(tmp_path / "none", tmp_path / "none", [1000], 10, lambda text: None)


def staged(us: float) -> Staged:
    return Staged(1000, True, 0.25, {"observe": us, "learn": us}, 5 * us)


def test_sizes_beside_the_first() -> None:
    out = io.StringIO()
    sizes = [
        Grown(users, 20.0, 1, staged(us), 2048.0, 300.0, 60.0) for users, us in ((9, 10), (90, 20))
    ]
    Console(file=out, width=120).print(users_table(sizes))
    text = out.getvalue()
    assert "50,000" in text
    assert "-50%" in text
    rows = {row.what: row.median for row in users_rows(sizes)}
    assert rows["90 users: all"] == 40
    assert rows["9 users: history"] == 2048
    assert "2.0" in text


def test_places_side_by_side() -> None:
    out = io.StringIO()
    places = [Placed("memory", staged(10)), Placed("Redis", staged(12))]
    Console(file=out, width=120).print(histories_table(places))
    assert "Redis" in out.getvalue()
    assert "60.0" in out.getvalue()
    rows = {row.what: row.median for row in histories_rows(places)}
    assert (rows["memory: observe"], rows["Redis: by the clock"]) == (10, 60)
