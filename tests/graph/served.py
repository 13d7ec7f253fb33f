"""The whole graph as an operator starts it: ``ztad serve`` in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from services import runs
from services.node import free_ports

ROOT = Path(__file__).resolve().parents[2]
#: Variables that a test says itself, whatever the shell has set.
_OURS = ("ZTAD_", "OTEL_", "RAY_")


class Served:
    """One ``ztad serve`` on a port and with a home of its own; ``start`` before anything else.

    A context manager: whatever a test does or fails to do, nothing stays behind.
    """

    def __init__(
        self, bundle: Path, home: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.bundle = bundle
        self.home = home
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "serve.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
            "ZTAD_HOME": str(home),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *exc: object) -> None:
        if any(runs.recorded(self.home)):
            self.stop()

    def start(self) -> None:
        """Return once ``ztad serve`` says that it is ready; fails with its output."""
        self.home.mkdir(parents=True, exist_ok=True)
        words = ["serve", "--bundle", str(self.bundle), "--port", str(self.port)]
        with self.log.open("wb") as log:
            self._process = self._popen(words, stdout=log, stderr=subprocess.STDOUT)
        until(self._ready_or_dead, within_s=150.0)
        assert self._process.poll() is None, self.output()

    def stop(self) -> str:
        """``ztad stop``; returns what it said."""
        words = ["stop", "--port", str(self.port)]
        stopping = self._popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = stopping.communicate(timeout=90)[0].decode()
        assert stopping.returncode == 0, said
        if self._process is not None:
            self._process.wait(30)
        return said

    def kill_supervisor(self) -> None:
        """What a machine out of memory does to it: no chance to clean up."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def run(self) -> runs.Run:
        """Its record."""
        return next(iter(runs.recorded(self.home)))

    def replica(self, deployment: str) -> psutil.Process | None:
        """The process of a deployment's (only) replica, if there is one."""
        title = f"ray::ServeReplica:ztad:{deployment}"
        for process in runs.processes(self.run()):
            try:
                if process.cmdline()[:1] and process.cmdline()[0].startswith(title):
                    return process
            except psutil.Error:
                continue
        return None

    def client(self, **settings: Any) -> httpx.Client:
        """A client that no proxy of the environment gets in the way of."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60.0, **settings)

    def _popen(self, words: list[str], **settings: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "services.cli", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=self._environment, start_new_session=True, **settings
        )

    def _ready_or_dead(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or "stop with Ctrl-C" in self.output()


def event(**fields: object) -> dict[str, object]:
    """An ordinary new event with other values for some fields; ``None`` leaves a field out."""
    whole: dict[str, object] = {
        "event_id": secrets.token_hex(8),
        "timestamp": "2025-06-02T08:15:00Z",
        "user_id": "ann",
        "outcome": "success",
        "source_ip": "192.0.2.7",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def body(**fields: object) -> bytes:
    """``event`` as JSON."""
    return json.dumps(event(**fields)).encode()


def until(happened: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Poll until something has happened; an AssertionError when it has not in time."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s"
        time.sleep(0.05)


async def until_awaited(happened: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until something has happened."""
    async with asyncio.timeout(30):
        while True:
            if await happened():
                return
            await asyncio.sleep(0.01)
