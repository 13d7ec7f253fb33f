"""One server on this machine: made ready, started, found again, ended."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import msgspec
import psutil

HOST = "127.0.0.1"
#: How long a server may take to answer and to end by itself, seconds.
START_S, STOP_S = 90.0, 30.0
_LOOK_S = 0.1

Say = Callable[[str], None]


class Unavailable(RuntimeError):
    """A server cannot be had here: the reason, and what to do where something can be done."""


class Server(ABC):
    """A server with all it keeps in one folder; data and ports survive its end.

    It is recognised by its program and that folder in its command line, so that nothing has to
    be remembered of it: one that was left behind by whatever happened is found and kept.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    ends_by: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, say: Say = print) -> None:
        self.folder = folder.resolve() / self.name
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """How clients reach it."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it, in the foreground, after whatever it lacks was installed and made.

        Raises :class:`Unavailable`.
        """

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does what it is there for."""

    @property
    def user(self) -> str | None:
        """The user it runs as; None: the one we are."""
        return None

    def start(self) -> str:
        """The address of the running server; one that runs already is kept.

        Raises :class:`Unavailable`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.running() is None:
            self._give_up_taken_ports()
            self._launch(self.command())
        self._wait()
        self.say(f"answers on {self.address}")
        return self.address

    def stop(self) -> None:
        """End it and wait until it has, its data intact."""
        self._end(self.ends_by)

    def kill(self) -> None:
        """End it as a crash does, with SIGKILL."""
        self._end(signal.SIGKILL)

    def running(self) -> psutil.Process | None:
        """Its main process."""
        if self._child is not None:
            self._child.poll()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self._is_ours(process.cmdline()):
                    return process
        return None

    def port(self, purpose: str = "port") -> int:
        """A free port, from then on the same one as long as nobody else takes it."""
        ports = self._ports()
        if purpose not in ports:
            ports[purpose] = _free_port()
            self._keep_ports(ports)
        return ports[purpose]

    def say(self, text: str) -> None:
        """Tell the caller."""
        self._say(f"{self.name}: {text}")

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def _ports(self) -> dict[str, int]:
        try:
            return msgspec.json.decode(
                (self.folder / "ports.json").read_bytes(), type=dict[str, int]
            )
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _keep_ports(self, ports: dict[str, int]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ports.json").write_bytes(msgspec.json.encode(ports))

    def _give_up_taken_ports(self) -> None:
        ports = self._ports()
        self._keep_ports({name: port for name, port in ports.items() if not connects(port)})

    def _is_ours(self, command: Sequence[str]) -> bool:
        return (
            bool(command)
            and Path(command[0]).name == self.program
            and any(str(self.folder) in part for part in command[1:])
        )

    def _launch(self, command: Sequence[str]) -> None:
        self.say("starting")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True, user=self.user,
            )  # fmt: skip

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while not self.answers():
            if self._child is not None and self._child.poll() is not None:
                raise Unavailable(f"ended at once: {_last_line(self.log)} ({self.log})")
            if time.monotonic() > until:
                raise Unavailable(f"does not answer within {START_S:.0f} s, see {self.log}")
            time.sleep(_LOOK_S)

    def _end(self, by: signal.Signals) -> None:
        process = self.running()
        if process is None:
            return
        family = [process, *process.children(recursive=True)]
        for each in family if by == signal.SIGKILL else family[:1]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(by)
        _, left = psutil.wait_procs(family, STOP_S)
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left, STOP_S)
        if self._child is not None:
            self._child.wait()
            self._child = None


def connects(port: int) -> bool:
    """Whether somebody listens."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False


def run(command: Sequence[str], *, cwd: Path, user: str | None = None, told: str = "") -> None:
    """Run something to its end; raises :class:`Unavailable` with the last line it wrote."""
    try:
        done = subprocess.run(
            command, cwd=cwd, user=user, input=told, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        said = done.stdout.strip().splitlines()
        raise Unavailable(f"{Path(command[0]).name} failed: {said[-1] if said else 'no word'}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"
