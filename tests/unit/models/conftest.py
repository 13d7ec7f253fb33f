"""A registry in MLflow's SQLite form: its tables are made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.registry import Registry


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its tables, which takes MLflow seconds to make, and nothing in them."""
    home = tmp_path_factory.mktemp("registry")
    Registry(home).tracking.client.search_registered_models()
    return home / "registry" / "mlflow.db"


@pytest.fixture
def registry(empty_database: Path, tmp_path: Path) -> Registry:
    """An empty registry below ``tmp_path / "home"``."""
    home = tmp_path / "home"
    (home / "registry").mkdir(parents=True)
    shutil.copy(empty_database, home / "registry")
    return Registry(home)
