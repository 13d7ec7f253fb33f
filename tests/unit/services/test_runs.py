"""What is recorded is ended, whole; what is not ours is never touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services import runs

SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
DEAF = [SLEEP[0], "-c", f"import signal; signal.signal(15, signal.SIG_IGN); {SLEEP[2]}"]

Started = list["subprocess.Popen[bytes]"]


@pytest.fixture
def started() -> Iterator[Started]:
    """Processes of a test; whatever it leaves is ended."""
    processes: Started = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def start(started: Started, run_id: str | None, command: list[str] | None = None) -> psutil.Process:
    """A process that runs already, of the run with that id or of none."""
    environment = {name: value for name, value in os.environ.items() if name != runs.RUN_ID}
    if run_id is not None:
        environment[runs.RUN_ID] = run_id
    process = subprocess.Popen(command or SLEEP, env=environment, stdout=subprocess.PIPE)
    started.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return psutil.Process(process.pid)


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run_of(leader: psutil.Process, folder: Path, *, run_id: str, port: int = 8000) -> runs.Run:
    return runs.Run(run_id, leader.pid, leader.create_time(), "127.0.0.1", port, str(folder))


def test_records_come_back(tmp_path: Path) -> None:
    first = runs.this_process("a", "127.0.0.1", 8000, tmp_path / "fa")
    second = runs.this_process("b", "0.0.0.0", 8001, tmp_path / "fb")
    for run in (first, second):
        runs.write(tmp_path, run)
    assert list(runs.recorded(tmp_path)) == [first, second]
    assert first.pid == os.getpid()
    assert runs.supervisor(first) == psutil.Process()


def test_no_records(tmp_path: Path) -> None:
    assert list(runs.recorded(tmp_path / "nowhere")) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"run_id": 7}', b"\xff"])
def test_a_damaged_record_is_skipped(tmp_path: Path, content: bytes) -> None:
    runs.write(tmp_path, runs.this_process("a", "127.0.0.1", 8000, tmp_path))
    runs.record_path(tmp_path, 9000).write_bytes(content)
    assert [run.run_id for run in runs.recorded(tmp_path)] == ["a"]


def test_only_what_was_recorded_is_ended(tmp_path: Path, started: Started) -> None:
    leader, child = start(started, "ours"), start(started, "ours")
    other_run, nobodys = start(started, "theirs"), start(started, None)
    folder = tmp_path / "folder"
    folder.mkdir()
    run = run_of(leader, folder, run_id="ours")
    runs.write(tmp_path, run)
    assert {process.pid for process in runs.processes(run)} == {leader.pid, child.pid}
    assert runs.stop(tmp_path, run) == 1
    assert not alive(leader)
    assert not alive(child)
    assert alive(other_run)
    assert alive(nobodys)
    assert list(runs.recorded(tmp_path)) == []
    assert not folder.exists()


def test_who_reads_a_log_in_our_folder_is_not_ours(tmp_path: Path, started: Started) -> None:
    folder = tmp_path / "ztad-abc"
    reader = start(started, None, [*SLEEP, str(folder / "session_latest" / "logs" / "raylet.err")])
    leader = start(started, "ours")
    runs.stop(tmp_path, run_of(leader, folder, run_id="ours"))
    assert not alive(leader)
    assert alive(reader)


def test_a_supervisor_that_does_not_listen_is_killed(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PATIENCE_S", 0.2)
    leader = start(started, "ours", DEAF)
    runs.stop(tmp_path, run_of(leader, tmp_path / "folder", run_id="ours"))
    assert not alive(leader)


def test_a_later_process_with_the_same_number_is_not_ours(tmp_path: Path, started: Started) -> None:
    innocent = start(started, None)
    stale = runs.Run("gone", innocent.pid, innocent.create_time() - 60, "127.0.0.1", 8000,
                     str(tmp_path / "folder"))  # fmt: skip
    runs.write(tmp_path, stale)
    assert runs.supervisor(stale) is None
    assert runs.stop(tmp_path, stale) == 0
    assert alive(innocent)
    assert list(runs.recorded(tmp_path)) == []


def test_a_supervisor_that_is_gone_or_a_zombie(tmp_path: Path, started: Started) -> None:
    leader = start(started, "ours")
    run = run_of(leader, tmp_path / "folder", run_id="ours")
    assert runs.supervisor(run) == leader
    leader.send_signal(signal.SIGKILL)
    # Not reaped: its parent is this test.
    while runs.supervisor(run) is not None:
        pass
    started[0].wait()
    assert runs.supervisor(run) is None


def test_the_calling_process_is_never_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(runs.RUN_ID, "ours")
    run = runs.this_process("ours", "127.0.0.1", 8000, tmp_path / "folder")
    assert os.getpid() not in {process.pid for process in runs.processes(run)}


def test_run_ids_differ() -> None:
    assert len({runs.new_run_id() for _ in range(100)}) == 100
