"""Reports that are kept, and compared with the last one."""

import io
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from services.bench.kept import Kept, Machine, caveat, changes, keep, keep_and_compare, kept, last
from services.bench.machine import cpu_model
from services.bench.rows import Row

RATE = Row("single events", "req/s", [90.0, 100.0, 110.0], more_is_better=True)
WAIT = Row("single events, p95", "ms", [50.0])


def report(*rows: Row, started: str = "2026-11-23T15:00:00+00:00", kind: str = "graph") -> Kept:
    return kept(kind, started, 60.0, rows, {"anything": [1]})


def test_what_is_kept_is_what_is_read_and_the_newest_of_its_kind(tmp_path: Path) -> None:
    old, new = report(RATE), report(WAIT, started="2026-11-24T09:00:00+00:00")
    assert last(tmp_path / "nowhere", "graph") is None
    for each in (new, old, report(started="2026-12-01T00:00:00+00:00", kind="users")):
        keep(tmp_path, each)
    (tmp_path / "other.json").write_text('{"some": "thing"}')
    (tmp_path / "broken.json").write_text("{")
    assert last(tmp_path, "graph") == new


def test_a_file_says_what_it_is_of(tmp_path: Path) -> None:
    made = report(RATE)
    assert keep(tmp_path / "new", made).name == f"graph-{made.release}-20261123T150000.json"


def test_medians_are_compared_by_what_is_better() -> None:
    faster = Row("single events", "req/s", [150.0], more_is_better=True)
    slower = Row("single events, p95", "ms", [100.0])
    found = changes(report(RATE, WAIT), report(slower, faster))
    assert [(each.what, each.ratio, each.verdict) for each in found] == [
        ("single events, p95", 2.0, "worse"),
        ("single events", 1.5, "better"),
    ]


def test_what_is_new_gone_zero_or_about_the_same() -> None:
    about = Row("single events", "req/s", [109.0], more_is_better=True)
    errors = Row("errors", "", [0.0])
    found = changes(report(RATE, WAIT, errors), report(about, errors, Row("new", "s", [1.0])))
    assert [(each.what, each.old, each.new, each.verdict) for each in found] == [
        ("single events", 100.0, 109.0, ""),
        ("errors", 0.0, 0.0, ""),
        ("new", None, 1.0, ""),
        ("single events, p95", 50.0, None, ""),
    ]


def test_errors_where_there_were_none_are_worse() -> None:
    none, some = (report(Row("errors", "", [count])) for count in (0.0, 3.0))
    assert [each.verdict for each in (*changes(none, some), *changes(some, none))] == [
        "worse",
        "better",
    ]


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (Machine(2, "EPYC", 60.0), ""),
        (Machine(2, "EPYC", 56.0), ""),
        (Machine(2, "EPYC", 30.0), "2.00 times its speed of then (30 and 60 Mloops/s)"),
        (Machine(4, "EPYC", 60.0), "4 x EPYC then, 2 x EPYC now"),
        (Machine(2, "Xeon", 60.0), "another machine"),
    ],
)
def test_machines_that_cannot_be_compared(then: Machine, told: str) -> None:
    found = caveat(then, Machine(2, "EPYC", 60.0))
    assert told in found
    assert bool(told) == bool(found)


def test_the_comparison_is_printed_with_its_caveat(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, width=140)
    old = replace(report(RATE), machine=Machine(64, "Xeon", 60.0))
    keep_and_compare(tmp_path, old, console)
    assert not out.getvalue()
    later = report(RATE, WAIT, started="2026-11-24T09:00:00+00:00")
    assert keep_and_compare(tmp_path, later, console).exists()
    assert "single events, p95" in out.getvalue()
    assert "another machine: 64 x Xeon then" in out.getvalue()


def test_a_processor_has_a_name(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: AMD EPYC\n\nmodel name\t: AMD EPYC\n")
    assert cpu_model(info) == "AMD EPYC"
    assert cpu_model(tmp_path / "none")
