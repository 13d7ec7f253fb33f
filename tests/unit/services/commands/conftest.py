"""A small labelled set and a bundle trained on it, made once through the command line."""

from pathlib import Path

import pytest

from services.cli import main


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with events.csv and labels.csv, 600 events."""
    folder = tmp_path_factory.mktemp("set")
    words = ["generate", "--scenario", "seedlike", "--events", "600", "--out", str(folder)]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="session")
def bundle(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle trained on ``small_set``."""
    out = tmp_path_factory.mktemp("bundles") / "small"
    words = ["--events", str(small_set / "events.csv"), "--out", str(out), "--no-register"]
    assert main(["train", *words]) == 0
    return out
