"""Imports point against the data flow, and the contracts that say so can fail."""

import ast
import importlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from alerting.notifiers import NOTIFIERS
from models import DETECTORS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("preprocessing", "models", "ensemble", "alerting", "tuning", "services")

# One planted import per rule: (file, line added to it, contract that must break).
VIOLATIONS = [
    ("models/planted.py", "import ensemble", "imports follow the data flow, backwards"),
    ("tuning/planted.py", "import services", "imports follow the data flow, backwards"),
    ("services/planted.py", "import tuning", "imports follow the data flow, backwards"),
    ("preprocessing/planted.py", "import ray", "only services and tuning know ray"),
    ("ensemble/planted.py", "import opentelemetry.trace", "only services and tuning know ray"),
    ("tuning/planted.py", "import sqlite3", "only services knows HTTP servers, SQL and Kafka"),
    ("tuning/planted.py", "import mlflow", "only the registry knows MLflow"),
    ("preprocessing/planted.py", "import pandas", "preprocessing stays light"),
    ("models/planted.py", "import pickle", "no pickle"),
    ("alerting/planted.py", "import models", "alerting reads verdicts, not models"),
    ("tuning/planted.py", "import alerting", "tuning raises no alerts"),
    (
        "models/one_class_svm.py",
        "import models.isolation_forest",
        "detectors are unaware of each other",
    ),
    (
        "ensemble/planted.py",
        "from models.autoencoder import Autoencoder",
        "ensemble names no concrete detector",
    ),
    (
        "alerting/notifiers/email.py",
        "import alerting.notifiers.chat",
        "notifiers are unaware of each other",
    ),
]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy_of_the_code(tmp_path: Path) -> Path:
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    config = (ROOT / "pyproject.toml").read_text() + registry_contracts()
    (tmp_path / "pyproject.toml").write_text(config)
    return tmp_path


def registry_contracts() -> str:
    """Written from the registries, so that adding to one needs no edit of the contracts."""
    modules = sorted(path.partition(":")[0] for path in DETECTORS.values())
    notifiers = sorted(path.partition(":")[0] for path in NOTIFIERS.values())
    return f"""
[[tool.importlinter.contracts]]
name = "detectors are unaware of each other"
type = "independence"
modules = {modules}

[[tool.importlinter.contracts]]
name = "ensemble names no concrete detector"
type = "forbidden"
source_modules = ["ensemble"]
forbidden_modules = {modules}

[[tool.importlinter.contracts]]
name = "notifiers are unaware of each other"
type = "independence"
modules = {notifiers}
"""


def plant(folder: Path, file: str, line: str) -> None:
    target = folder / file
    target.parent.mkdir(exist_ok=True)
    with target.open("a") as code:
        code.write(f"{line}\n")


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_ours(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    assert Path(file).is_relative_to(ROOT), f"another distribution installs a package `{name}`"


def test_contracts_hold(copy_of_the_code: Path) -> None:
    result = lint_imports(copy_of_the_code)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("file", "line", "contract"), VIOLATIONS)
def test_planted_violation_is_found(
    copy_of_the_code: Path, file: str, line: str, contract: str
) -> None:
    plant(copy_of_the_code, file, line)
    result = lint_imports(copy_of_the_code)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_commands_may_reach_tuning(copy_of_the_code: Path) -> None:
    plant(copy_of_the_code, "services/commands/planted.py", "import tuning")
    result = lint_imports(copy_of_the_code)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_contract_has_a_planted_violation() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text() + registry_contracts())
    contracts = {c["name"] for c in config["tool"]["importlinter"]["contracts"]}
    assert contracts == {contract for _, _, contract in VIOLATIONS}


def test_tuning_never_serves() -> None:
    for path in sorted((ROOT / "tuning").rglob("*.py")):
        imported = imports_of(ast.parse(path.read_text()))
        assert not {name for name in imported if name.startswith("ray.serve")}, path


def imports_of(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_scoring_path_needs_nothing_heavy() -> None:
    """Blocked, not counted: Ray Serve itself loads pandas where it happens to be installed."""
    blocked = [
        "alembic", "keras", "mlflow", "onnx", "optuna", "pandas", "scipy", "shap", "sklearn",
        "sqlalchemy", "tensorflow", "tf2onnx", "tuning",
    ]  # fmt: skip
    program = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        f"for name in {scoring_modules()!r}: importlib.import_module(name)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_serving_never_asks_the_registry() -> None:
    """Not inside a function either: MLflow would be loaded when that is called."""
    for name in scoring_modules():
        file = ROOT / Path(*name.split(".")).with_suffix(".py")
        path = file if file.exists() else ROOT / Path(*name.split("."), "__init__.py")
        imported = imports_of(ast.parse(path.read_text()))
        asks = {one for one in imported if one.startswith(("models.registry", "models.tracking"))}
        assert asks == set(), path


def test_only_migrations_need_alembic() -> None:
    """Not inside a function either, but for the module that has it write the SQL."""
    writer = ROOT / "services" / "storage" / "migrations" / "chain.py"
    for path in sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py")):
        asks = {
            name
            for name in imports_of(ast.parse(path.read_text()))
            if name.startswith(("alembic", "sqlalchemy"))
        }
        assert not asks or run_by_alembic(path) or path == writer, path


def run_by_alembic(path: Path) -> bool:
    """Alembic reads these files by their paths; nobody imports them."""
    if "migrations" not in path.parts:
        return False
    return path.name == "env.py" or path.parent.name != "migrations"


def scoring_modules() -> list[str]:
    """All of preprocessing, ensemble and services but the command line, and what serving runs."""
    paths = [p for f in ("preprocessing", "ensemble", "services") for p in (ROOT / f).rglob("*.py")]
    paths = [p for p in paths if not {"commands", "cli.py", "explain"} & set(p.parts)]
    paths = [p for p in paths if not run_by_alembic(p)]
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in paths}
    names = {name.removesuffix(".__init__") for name in names}
    return sorted(names | {"models", "models.bundle", "models.onnx_scorer"})
