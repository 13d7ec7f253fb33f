"""Where the processes of a run listen: as the system shows it, not as we asked for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from services import runs
from services.haproxy import bracketed
from services.peers import is_loopback

#: What Ray's own programs are, by a part of their command line.
_PARTS = {
    "gcs_server": "Ray cluster store",
    "raylet/raylet": "Ray node manager",
    "dashboard/agent.py": "Ray agent",
    "runtime_env/agent": "Ray environments",
    "log_monitor.py": "Ray log monitor",
    "autoscaler": "Ray monitor",
    "dashboard/dashboard.py": "Ray dashboard",
    "haproxy": "HAProxy",
}
_REPLICA = "ray::ServeReplica:ztad:"


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """One TCP port that a process waits on."""

    process: str
    address: str
    port: int

    @property
    def reachable(self) -> bool:
        """Whether other machines can reach it, as far as this one decides."""
        return not is_loopback(self.address)

    def __str__(self) -> str:
        return f"{bracketed(self.address)}:{self.port}"


def listeners(run: runs.Run) -> list[Listener]:
    """Every listening port of a run, by process. What ended meanwhile is left out."""
    processes = runs.processes(run)
    supervisor = runs.supervisor(run)
    if supervisor is not None:
        processes.append(supervisor)
    found: set[Listener] = set()
    for process in processes:
        found |= set(_of(process, run))
    return sorted(found)


def table(found: Iterable[Listener]) -> list[str]:
    """One line per process; what other machines can reach stands on lines of its own."""
    lines: dict[tuple[bool, str], list[str]] = {}
    for each in found:
        lines.setdefault((not each.reachable, each.process), []).append(str(each))
    return [
        f"{process:22s} {' '.join(ports)}{'' if local else '   <- other machines reach this'}"
        for (local, process), ports in sorted(lines.items())
    ]


def _of(process: psutil.Process, run: runs.Run) -> Iterable[Listener]:
    try:
        name = _name(process, run)
        return [
            Listener(name, each.laddr.ip.removeprefix("::ffff:"), each.laddr.port)
            for each in process.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN
        ]
    except psutil.Error:
        return []


def _name(process: psutil.Process, run: runs.Run) -> str:
    if process.pid == run.pid:
        return "ztad serve"
    words = process.cmdline() or [process.name()]
    if words[0].startswith(_REPLICA):
        return words[0].removeprefix(_REPLICA).split("#")[0].strip()
    if words[0].startswith("ray::"):
        return words[0].removeprefix("ray::").split(".")[0].split("(")[0].strip()
    line = " ".join(words)
    known = (told for part, told in _PARTS.items() if part in line)
    return next(known, os.path.basename(words[0]))
