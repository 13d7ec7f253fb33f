"""Audit lines: all of them, or the number of those left out; one file for several processes."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest

from services.audit import (
    LINES_A_MINUTE,
    MOST_CALLERS,
    OLDER_FILES,
    Audit,
    AuditFile,
    Entry,
    destination,
)


class Told:
    """An audit log with a clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0
        self.lines: list[str] = []
        self.audit = Audit(self.lines.append, lambda: self.now)

    def refused(self, times: int = 1, **fields: Any) -> None:
        for _ in range(times):
            self.audit.refused(Entry(**{"what": "unknown_key", "status": 401, **fields}))

    def suppressed(self) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in self.lines]
        return [line for line in told if "suppressed" in line]


def test_a_line() -> None:
    told = Told()
    told.refused(address="192.0.2.7", method="POST", route="/v1/score", trace_id="t")
    assert json.loads(told.lines[0]) == {
        "time": "2025-11-24T16:00:00.000Z", "what": "unknown_key", "status": 401, "caller": "",
        "key": "", "address": "192.0.2.7", "method": "POST", "route": "/v1/score", "target": "",
        "trace_id": "t",
    }  # fmt: skip


def test_nothing_breaks_out_of_its_line() -> None:
    told = Told()
    told.refused(target='"\n{"what": "admin"}\u2028', address="x\r\n")
    assert "\n" not in told.lines[0]
    assert json.loads(told.lines[0])["address"] == "x\r\n"


def test_of_many_refusals_the_number_is_told_once_the_minute_is_over() -> None:
    told = Told()
    told.refused(LINES_A_MINUTE + 7, address="192.0.2.7")
    told.refused(address="192.0.2.8")
    assert len(told.lines) == LINES_A_MINUTE + 1
    told.audit.tell_suppressed()
    assert told.suppressed() == []
    told.now += 60
    told.audit.tell_suppressed()
    (line,) = told.suppressed()
    assert line.pop("time") == "2025-11-24T16:01:00.000Z"
    assert line == {
        "what": "unknown_key", "caller": "", "address": "192.0.2.7", "suppressed": 7,
    }  # fmt: skip
    told.audit.tell_suppressed()
    assert len(told.suppressed()) == 1
    told.refused(address="192.0.2.7")
    assert len(told.lines) == LINES_A_MINUTE + 3


def test_another_reason_has_lines_of_its_own() -> None:
    told = Told()
    told.refused(LINES_A_MINUTE + 1, caller="a")
    told.refused(caller="a", what="over_rate", status=429)
    assert json.loads(told.lines[-1])["what"] == "over_rate"


def test_many_addresses_fill_neither_the_memory_nor_the_disk() -> None:
    told = Told()
    for number in range(MOST_CALLERS + 500):
        told.refused(address=f"2001:db8::{number:x}")
    assert len(told.lines) == MOST_CALLERS
    told.now += 60
    told.audit.tell_suppressed()
    (line,) = told.suppressed()
    assert (line["what"], line["suppressed"]) == ("refused", 500)


def test_changes_are_never_left_out() -> None:
    told = Told()
    for _ in range(100):
        told.audit.done(Entry(what="admin", status=200, caller="ops"))
    assert len(told.lines) == 100


def test_a_file_of_our_own(tmp_path: Path) -> None:
    file = tmp_path / "new" / "audit.log"
    write = destination(str(file))
    write("one")
    write("two")
    assert file.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    destination("-")("line")
    assert capsys.readouterr().out == "line\n"


def test_the_programs_log(caplog: pytest.LogCaptureFixture) -> None:
    destination(None)("line")
    assert caplog.messages == ["line"]


def test_a_large_file_is_moved_aside(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    write = AuditFile(file, most_bytes=10)
    for number in range(OLDER_FILES + 3):
        write(f"line-{number:05d}")
    names = {each.name for each in tmp_path.iterdir()}
    older = {f"audit.log.{number}" for number in range(1, OLDER_FILES + 1)}
    assert names == {"audit.log.lock"} | older
    assert (tmp_path / "audit.log.1").read_text() == f"line-{OLDER_FILES + 2:05d}\n"
    write("x")
    assert file.read_text() == "x\n"


def test_somebody_else_may_move_it(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    write = AuditFile(file)
    write("before")
    file.rename(tmp_path / "moved")
    write("after")
    assert file.read_text() == "after\n"


def _write_many(file: Path, who: str) -> None:
    write = AuditFile(file, most_bytes=2_000)
    for number in range(200):
        write(f"{who}-{number:03d}")


def test_two_processes_share_a_file(tmp_path: Path) -> None:
    """2 x 200 lines of 6 bytes, moved aside at 2,000: all lines are there, in two files."""
    file = tmp_path / "audit.log"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_write_many, args=(file, who)) for who in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    lines = [line for each in tmp_path.glob("audit.log*") for line in each.read_text().split()]
    assert sorted(lines) == sorted(f"{who}-{number:03d}" for who in "ab" for number in range(200))


def test_a_full_disk_refuses_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "audit.log"
    file.mkdir()
    AuditFile(file)("line")
    assert "audit line not written" in caplog.messages[0]
    assert "line" in caplog.messages[0]
