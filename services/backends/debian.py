"""Programs of Debian packages: found where they are, installed where they are not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.backends.server import Say, Unavailable, run

#: Where Debian keeps programs that no PATH names.
PLACES = ("usr/bin", "usr/lib/postgresql/*/bin", "usr/lib/jvm/*/bin")
#: A package asks this file whether to start its service; 101: no.
_POLICY = Path("/usr/sbin/policy-rc.d")
_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")


class Programs:
    """Programs by name; packages are unpacked below ``folder`` where nobody may install."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._unpacked = folder / "debian"
        self._say = say

    def find(self, program: str, package: str) -> list[str]:
        """The beginning of a command line that runs a program, its package installed if need be.

        Raises :class:`Unavailable`.
        """
        found = self._found(program)
        if found is None:
            self._say(f"{program} is not here: installing Debian's {package}")
            self._install(package)
            found = self._found(program)
        if found is None:
            raise Unavailable(f"{program} is not in Debian's {package}")
        return found

    def _found(self, program: str) -> list[str] | None:
        known = shutil.which(program)
        for root in (Path("/"), self._unpacked):
            # The newest version has the largest number.
            found = sorted(path for place in PLACES for path in root.glob(f"{place}/{program}"))
            if root == self._unpacked and found:
                return ["env", f"LD_LIBRARY_PATH={self._libraries()}", str(found[-1])]
            if found:
                return [str(found[-1])]
        return [known] if known else None

    def _libraries(self) -> str:
        return str(self._unpacked / "usr" / "lib" / f"{platform.machine()}-linux-gnu")

    def _install(self, package: str) -> None:
        if shutil.which("apt-get") is None:
            raise Unavailable(f"there is no apt-get here; install Debian's {package}, or the like")
        if os.geteuid() == 0:
            run([*_APT, "update"], cwd=Path("/"))
            with _no_service_starts():
                run(["env", "DEBIAN_FRONTEND=noninteractive", *_APT, "install", "--yes",
                     "--no-install-recommends", package], cwd=Path("/"))  # fmt: skip
        else:
            self._unpack(_missing(package))

    def _unpack(self, packages: Sequence[str]) -> None:
        """For want of root: the files alone, without what a package does when it is set up."""
        archives = self._unpacked / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "-qq", "download", *packages], cwd=archives)
        for archive in archives.glob("*.deb"):
            run(["dpkg-deb", "-x", str(archive), str(self._unpacked)], cwd=archives)
            archive.unlink()


def _missing(package: str) -> list[str]:
    """A package with everything it needs that is not installed."""
    told = subprocess.run(
        ["apt-get", "-s", "-qq", "--no-install-recommends", "install", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [line.split()[1] for line in told.stdout.splitlines() if line.startswith("Inst ")]
    if told.returncode != 0 or not found:
        said = told.stderr.strip().splitlines()
        raise Unavailable(f"apt-get has no {package}: {said[-1] if said else 'install it as root'}")
    return found


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """While packages are installed; a policy that is there already stays as it is."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
