"""Looking detectors up by name, and what that may import."""

import subprocess
import sys

import pytest

from models import DETECTORS, resolve
from models.base import UnknownDetector


@pytest.mark.parametrize("name", DETECTORS)
def test_every_entry_resolves(name: str) -> None:
    assert resolve(name).name == name


def test_unknown_name() -> None:
    with pytest.raises(UnknownDetector, match="'forest', expected one of isolation_forest, "):
        resolve("forest")


@pytest.mark.parametrize("module", ["models", "models.onnx_scorer", "models.bundle"])
def test_serving_imports_nothing_that_trains(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"sklearn", "keras", "tensorflow", "onnx", "pandas", "scipy"}
