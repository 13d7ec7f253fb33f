"""PostgreSQL as Debian ships it, with its durability left on."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from pathlib import Path

from services.backends.debian import Programs
from services.backends.server import HOST, Server, run

#: Everybody on this machine is let in, but for the one that tests of passwords are made with.
PASSWORD_USER, PASSWORD = "with_password", "open-sesame"
_HBA = f"""\
host all {PASSWORD_USER} {HOST}/32 scram-sha-256
host all all {HOST}/32 trust
"""
_ROLE = f"CREATE ROLE {PASSWORD_USER} LOGIN SUPERUSER PASSWORD '{PASSWORD}'\n"
#: Tests bring databases by the dozen, each with connections of several processes.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
}


class Postgres(Server):
    """Superuser ``ztad`` without a password, loopback only."""

    name = "postgres"
    program = "postgres"
    ends_by = signal.SIGINT  # "fast": does not wait for clients to leave

    @property
    def address(self) -> str:
        return f"postgresql://ztad@{HOST}:{self.port()}/postgres"

    @property
    def user(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return None
        known = {each.pw_name for each in pwd.getpwall()}
        return "postgres" if "postgres" in known else "nobody"

    def command(self) -> list[str]:
        postgres, data = self._program("postgres"), self.folder / "data"
        if not data.exists():
            self._make(data)
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        return [*postgres, "-D", str(data), "-p", str(self.port()), *settings]

    def answers(self) -> bool:
        program = self._program("pg_isready")
        try:
            with_port = ["-q", "-t", "1", "-h", HOST, "-p", str(self.port())]
            run([*program, *with_port], cwd=self.folder)
        except RuntimeError:
            return False
        return True

    def _program(self, name: str) -> list[str]:
        return Programs(self.folder, self.say).find(name, "postgresql")

    def _make(self, data: Path) -> None:
        """A data folder, whole or not at all."""
        self.say("making its data folder")
        begun = self.folder / "data.begun"
        shutil.rmtree(begun, ignore_errors=True)
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        run([*self._program("initdb"), "-D", str(begun), "-U", "ztad", "-A", "trust",
             "-E", "UTF8", "--locale=C"], cwd=self.folder, user=self.user)  # fmt: skip
        run([*self._program("postgres"), "--single", "-D", str(begun), "postgres"],
            cwd=self.folder, user=self.user, told=_ROLE)  # fmt: skip
        (begun / "pg_hba.conf").write_text(_HBA)
        begun.rename(data)
