"""A Redis that a test may stop, kill and empty."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry


class OwnRedis:
    """One server on a port of its own. ``fresh`` forgets what is in its folder."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("no redis-server here: install the package redis-server")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self.port),
                         "--dir", str(folder), "--save", ""]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Redis:
        """A connection that waits for a server which is starting."""
        return Redis(port=self.port, retry=Retry(ConstantBackoff(0.02), 500))

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        with self.client as client:
            client.ping()

    def kill(self, *, forget: bool = False) -> None:
        """As a crash does; ``forget``: and its disk with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if forget:
            (self._folder / "dump.rdb").unlink(missing_ok=True)

    def pause(self) -> None:
        """It keeps its connections and does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
