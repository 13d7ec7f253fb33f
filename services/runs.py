"""What ``ztad serve`` started on this machine, written down so that ``ztad stop`` ends that alone.

Every process of a run inherits ``ZTAD_RUN_ID``; other Ray clusters and HAProxies never have it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

RUN_ID = "ZTAD_RUN_ID"
#: How long a supervisor may take to end its processes in order, seconds.
PATIENCE_S = 30.0


class Run(msgspec.Struct, frozen=True):
    """One ``ztad serve``: its supervisor, its port, and the folder of its sockets and logs.

    ``pid_started`` (seconds since the epoch) tells the supervisor from a later process that was
    given the same number.
    """

    run_id: str
    pid: int
    pid_started: float
    host: str
    port: int
    folder: str


def record_path(home: Path, port: int) -> Path:
    return home / "run" / f"serve-{port}.json"


def write(home: Path, run: Run) -> None:
    """Record a run; atomic, so that a reader never sees half of it."""
    path = record_path(home, run.port)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_bytes(msgspec.json.encode(run))
    draft.replace(path)


def recorded(home: Path) -> Iterator[Run]:
    """Every recorded run; unreadable records are skipped."""
    for path in sorted((home / "run").glob("serve-*.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Run)
        except (OSError, msgspec.DecodeError):
            continue


def supervisor(run: Run) -> psutil.Process | None:
    """The process that runs it, if it still lives."""
    try:
        process = psutil.Process(run.pid)
        same = abs(process.create_time() - run.pid_started) < 1.0
        alive = same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if alive else None


def processes(run: Run) -> list[psutil.Process]:
    """Every living process of a run but the calling one."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _belongs(process, run)
    ]


def stop(home: Path, run: Run) -> int:
    """End a run: first politely, then whatever is left. Returns how many had to be killed."""
    leader = supervisor(run)
    if leader is not None and leader.pid != os.getpid():
        leader.terminate()
        if not _ended(run, PATIENCE_S):
            leader.kill()
    killed = sweep(run)
    forget(home, run)
    return killed


def sweep(run: Run) -> int:
    """Kill what is left of a run, until nothing is; returns how many processes that were."""
    killed = 0
    for _ in range(20):
        left = processes(run)
        if not left:
            break
        for process in left:
            try:
                process.kill()
                killed += 1
            except psutil.Error:
                continue
        psutil.wait_procs(left, timeout=1.0)
    return killed


def _ended(run: Run, within_s: float) -> bool:
    """Wait for a supervisor to end. One that its parent has not reaped yet has ended, too."""
    deadline = time.monotonic() + within_s
    while supervisor(run) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def forget(home: Path, run: Run) -> None:
    """Remove the record and the folder of a run that has ended."""
    record_path(home, run.port).unlink(missing_ok=True)
    shutil.rmtree(run.folder, ignore_errors=True)


def this_process(run_id: str, host: str, port: int, folder: Path) -> Run:
    """The record of a run supervised by the calling process."""
    started = psutil.Process().create_time()
    return Run(run_id, os.getpid(), started, host, port, str(folder))


def new_run_id() -> str:
    """Unlike any other run's, on this machine or any other."""
    return secrets.token_hex(12)


def _belongs(process: psutil.Process, run: Run) -> bool:
    """By its environment alone: whoever reads a log in our folder is not ours."""
    try:
        ours: bool = process.environ().get(RUN_ID) == run.run_id
        return ours and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
