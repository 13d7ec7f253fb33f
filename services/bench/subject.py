"""What is measured: a graph started for the occasion, or one that runs already."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from services import runs

READY_WITHIN_S = 180.0
_SAMPLE = re.compile(r"^(ztad_\w+)(?:\{([^}]*)\})? ([0-9.eE+]+)$", re.MULTILINE)


class BenchError(RuntimeError):
    """The measurement cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A running graph. ``run`` is None when it was not started on this machine by us."""

    host: str
    port: int
    home: Path
    run: runs.Run | None
    ready_s: float | None = None
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """Supervisor and all of its processes; empty when they are not ours to see."""
        if self.run is None:
            return []
        supervisor = runs.supervisor(self.run)
        others = [each for each in runs.processes(self.run) if each.pid != self.run.pid]
        return others if supervisor is None else [supervisor, *others]

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """An HTTP client for everything that is not timed load."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.Client(base_url=self.url, trust_env=False, timeout=timeout_s, headers=headers)

    def counters(self) -> dict[str, float]:
        """The gateway's own counters, summed over their labels."""
        with self.client() as client:
            return counters(client.get("/metrics").text)

    def stop(self) -> None:
        """End what was started here."""
        if self.run is not None:
            runs.stop(self.home, self.run)


def counters(text: str) -> dict[str, float]:
    """``ztad_*`` samples of a Prometheus page; requests by status, others by name.

    >>> counters('ztad_requests_total{route="/v1/score",status="200"} 3.0')
    {'ztad_requests_total 200': 3.0}
    """
    found: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(text):
        status = re.search(r'status="(\d+)"', labels)
        key = f"{name} {status.group(1)}" if status else name
        found[key] = found.get(key, 0.0) + float(value)
    return found


def start(
    command: list[str], home: Path, port: int, environment: Mapping[str, str], log: Path
) -> Subject:
    """Run a command that serves on a port and wait until it is ready."""
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, **environment, "ZTAD_HOME": str(home)}
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], env=env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until_ready(process, port, log)
    except BaseException:
        process.terminate()
        process.wait(60.0)
        raise
    ready_s = time.monotonic() - started
    run = next((run for run in runs.recorded(home) if run.port == port), None)
    return Subject("127.0.0.1", port, home, run, ready_s)


def running(url: str, home: Path, key: str) -> Subject:
    """A graph that runs already; its processes are seen when it runs under the same home."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host, port = parts.hostname or "127.0.0.1", parts.port or 8000
    local = host in ("127.0.0.1", "localhost", "::1")
    if not local:
        raise BenchError(f"{host} is another machine: bench puts load on this one only")
    run = next((run for run in runs.recorded(home) if run.port == port), None)
    subject = Subject(host, port, home, run, key=key)
    with subject.client() as client:
        try:
            client.get("/readyz").raise_for_status()
        except httpx.HTTPError as error:
            raise BenchError(f"{subject.url} is not ready: {error}") from None
    return subject


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for 200 from ``/readyz``; :class:`BenchError` when the process ends or is late."""
    deadline = time.monotonic() + READY_WITHIN_S
    with httpx.Client(trust_env=False, timeout=10.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                last = log.read_text(errors="replace").strip().rsplit("\n", 1)[-1]
                raise BenchError(f"it did not start: {last}")
            try:
                if client.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
    raise BenchError(f"not ready after {READY_WITHIN_S:.0f} s; see {log}")
