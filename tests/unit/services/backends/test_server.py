"""Starting, finding, ending: with the smallest server there is."""

import socket
import sys
from pathlib import Path

import pytest

from services.backends.server import HOST, Server, Unavailable, connects

LISTENS = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    server.accept()
"""


class Listener(Server):
    """Accepts connections and does nothing else."""

    name = "listener"
    program = Path(sys.executable).name
    source = LISTENS

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port()}"

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.source, str(self.folder), str(self.port())]

    def answers(self) -> bool:
        return connects(self.port())


class Broken(Listener):
    source = "raise SystemExit('no room for it')"


def quiet(text: str) -> None:
    pass


def pid(server: Server) -> int:
    found = server.running()
    assert found is not None
    return found.pid


def test_a_running_server_is_kept_whoever_started_it(tmp_path: Path) -> None:
    server = Listener(tmp_path, quiet)
    try:
        address = server.start()
        first = pid(server)
        another = Listener(tmp_path, quiet)
        assert another.start() == address
        assert pid(another) == first
    finally:
        server.stop()
    assert server.running() is None


def test_a_killed_server_comes_back_at_its_address(tmp_path: Path) -> None:
    server = Listener(tmp_path, quiet)
    try:
        address = server.start()
        first = pid(server)
        server.kill()
        assert server.running() is None
        assert server.start() == address
        assert pid(server) != first
    finally:
        server.stop()


def test_a_port_that_somebody_else_took_is_given_up(tmp_path: Path) -> None:
    server = Listener(tmp_path, quiet)
    with socket.create_server((HOST, server.port())) as taken:
        try:
            assert server.start() != f"{HOST}:{taken.getsockname()[1]}"
        finally:
            server.stop()


def test_what_ends_at_once_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ended at once: no room for it"):
        Broken(tmp_path, quiet).start()


def test_two_folders_are_two_servers(tmp_path: Path) -> None:
    one, other = Listener(tmp_path / "a", quiet), Listener(tmp_path / "b", quiet)
    try:
        one.start()
        assert other.running() is None
        other.stop()
        assert one.running() is not None
    finally:
        one.stop()
