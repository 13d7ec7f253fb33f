"""Files and functions stay small, and are named after something of the domain."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("preprocessing", "models", "ensemble", "alerting", "tuning", "services", "peers")

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
MAX_TEST_FILE_LINES = 600
EMPTY_NAMES = {"base2", "common", "core", "helpers", "manager", "types", "utils"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_long_function() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}"
        for path in sources(*PACKAGES, "k8s", "tests")
        for name, lines in functions(path)
        if lines > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_no_long_file() -> None:
    long = []
    for path in sources(*PACKAGES, "k8s", "tests"):
        most = MAX_TEST_FILE_LINES if path.is_relative_to(ROOT / "tests") else MAX_FILE_LINES
        lines = len(path.read_text().splitlines())
        if lines > most:
            long.append(f"{path.relative_to(ROOT)} has {lines} lines, at most {most}")
    assert long == []


def test_no_empty_name() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sources(*PACKAGES, "k8s")
        if EMPTY_NAMES & set(path.relative_to(ROOT).with_suffix("").parts)
        or path.name.startswith("new_")
    ]
    assert found == []
