"""What is said where nothing can be installed."""

from pathlib import Path

import pytest

from services.backends.debian import Programs
from services.backends.server import Unavailable


def quiet(text: str) -> None:
    pass


def test_a_program_that_is_here_is_not_installed(tmp_path: Path) -> None:
    assert Programs(tmp_path, quiet).find("sh", "no-such-package")[-1].endswith("/sh")


def test_an_unpacked_program_brings_its_libraries(tmp_path: Path) -> None:
    program = tmp_path / "debian/usr/lib/postgresql/15/bin/no-such-program"
    program.parent.mkdir(parents=True)
    program.touch()
    env, libraries, found = Programs(tmp_path, quiet).find("no-such-program", "no-such-package")
    assert env == "env"
    assert libraries.startswith(f"LD_LIBRARY_PATH={tmp_path}/debian/usr/lib/")
    assert found == str(program)


def test_without_apt_the_reason_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no apt-get here; install Debian's redis-server"):
        Programs(tmp_path, quiet).find("no-such-program", "redis-server")
