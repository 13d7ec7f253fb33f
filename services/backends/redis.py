"""Redis: memory only, but an orderly end is written to disk and read again."""

from __future__ import annotations

import socket

from services.backends.debian import Programs
from services.backends.server import HOST, Server


class Redis(Server):
    """No password, loopback only."""

    name = "redis"
    program = "redis-server"

    @property
    def address(self) -> str:
        return f"redis://{HOST}:{self.port()}/0"

    def command(self) -> list[str]:
        program = Programs(self.folder, self.say).find("redis-server", "redis-server")
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        # A title of its own making would hide the folder we know it by.
        return [
            *program, "--bind", HOST, "--port", str(self.port()), "--dir", str(data),
            "--save", "3600 1", "--appendonly", "no", "--set-proc-title", "no",
        ]  # fmt: skip

    def answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port()), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
