"""Programs of Debian packages: found where they are, installed where they are not."""

from __future__ import annotations

import os
import platform
import re
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

    def find(self, program: str, package: str, version: int | None = None) -> list[str]:
        """The beginning of a command line that runs a program, its package installed if need be.

        Of several versions it is the one that is asked for, else the highest. Raises
        :class:`Unavailable`.
        """
        found = self._found(program, version)
        if found is None:
            self._say(f"{program} is not here: installing Debian's {package}")
            self._install(package)
            found = self._found(program, version)
        if found is None:
            raise Unavailable(f"{program} is not in Debian's {package}")
        return found

    def _found(self, program: str, version: int | None) -> list[str] | None:
        for root in (Path("/"), self._unpacked):
            found = [path for place in PLACES for path in root.glob(f"{place}/{program}")]
            if found:
                path = str(best(found, version))
                environment = ["env", f"LD_LIBRARY_PATH={self._libraries()}"]
                return [*environment, path] if root == self._unpacked else [path]
        known = shutil.which(program)
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


def best(found: Sequence[Path], version: int | None) -> Path:
    """The program in the folder of a version, else in that of the highest.

    >>> jvm = Path("/usr/lib/jvm")
    >>> names = ("java-8-openjdk", "java-17-openjdk", "jdk-25")
    >>> found = [jvm / name / "bin/java" for name in names]
    >>> best(found, 17).parts[-3], best(found, 21).parts[-3]
    ('java-17-openjdk', 'jdk-25')
    """
    return max(found, key=lambda path: (_version(path) == version, _version(path)))


def _version(path: Path) -> int:
    """``8`` in java-1.8.0-openjdk, 17 in java-17-openjdk, 15 in postgresql/15; else 0."""
    number = re.search(r"(?:\b1\.)?(\d+)", path.parts[-3])
    return int(number[1]) if number else 0


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
