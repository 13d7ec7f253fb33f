"""The lock files are complete, agree with each other, and name no address."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("serve", "explain", "train", "dev", "compile", "peers", "uv")
REGISTRY = re.compile(r"\b(pypi|pythonhosted|anaconda|conda|npmjs|yarnpkg|rubygems)[.](org|com|io)")


def entries(lock: str) -> list[str]:
    """The lock's requirements, each with its hashes on one line."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def pins(lock: str) -> set[str]:
    return {entry.split("--hash")[0].strip() for entry in entries(lock)}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(r).name) for r in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_everything_by_hash(lock: str) -> None:
    for entry in entries(lock):
        assert re.match(
            r"[a-z0-9][a-z0-9.-]*(\[[a-z,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", entry
        )
        assert "://" not in entry


def versions(lock: str) -> set[str]:
    """Pins without their conditions, which widen as more packages ask for the same one."""
    return {pin.partition(" ;")[0] for pin in pins(lock)}


def test_sets_nest() -> None:
    assert versions("serve") < versions("explain") < versions("train") < versions("dev")
    assert versions("compile") < versions("dev")


def test_serving_needs_nothing_that_fits_or_explains() -> None:
    fitting = {"keras", "pandas", "scikit-learn", "tensorflow", "tensorflow-cpu"}
    assert not names(sorted(pins("serve"))) & (fitting | {"numba", "scipy", "shap"})


def test_explaining_needs_no_tensorflow() -> None:
    assert not names(sorted(pins("explain"))) & {"keras", "tensorflow", "tensorflow-cpu"}


def test_locks_cover_the_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert names(project["dependencies"]) <= names(sorted(pins("serve")))
    assert names(extras["explain"]) <= names(sorted(pins("explain")))
    assert names(extras["train"]) <= names(sorted(pins("train")))
    assert names(extras["dev"]) <= names(sorted(pins("dev")))


def test_peers_have_the_libraries_that_fit_our_models() -> None:
    """Or other versions of them would be compared as well."""
    shared = ("keras==", "numpy==", "scikit-learn==", "tensorflow")
    ours = {pin for pin in versions("train") if pin.startswith(shared)}
    assert len(ours) >= len(shared)
    assert ours <= versions("peers")


def test_no_file_names_a_package_registry() -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout: the list of tracked files is unknown")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    texts = {p: p.read_text(errors="replace") for p in paths if p.is_file()}
    assert [str(p) for p, text in texts.items() if REGISTRY.search(text)] == []
