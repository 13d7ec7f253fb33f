"""Every name that users, dashboards and deployment files depend on is documented."""

import ast
import re
from math import isinf
from pathlib import Path

import pytest

from ensemble.reasons import REASONS
from preprocessing.features import FEATURES

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "services"


def pages() -> str:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text() for page in documents if page.exists())


def rows(page: str) -> dict[str, list[str]]:
    """Cells of the table rows of a page by the name in their first cell."""
    lines = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line[:3] == "| `"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def tree(file: str) -> ast.Module:
    """The syntax tree of a file of services/, which is not imported here: it brings Ray."""
    path = SERVICES / file
    return ast.parse(path.read_text() if path.exists() else "")


def fields(file: str, name: str) -> list[str]:
    """Annotated fields of a class."""
    bodies = [
        node.body
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    return [
        line.target.id
        for body in bodies
        for line in body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    ]


def strings(file: str, pattern: str) -> set[str]:
    """String literals of a file that match all of a pattern."""
    nodes = (node for node in ast.walk(tree(file)) if isinstance(node, ast.Constant))
    texts = {node.value for node in nodes if isinstance(node.value, str)}
    return {text for text in texts if re.fullmatch(pattern, text)}


def undocumented(names: set[str]) -> list[str]:
    text = pages()
    return sorted(name for name in names if f"`{name}`" not in text)


def test_every_feature_has_its_row() -> None:
    expected = {
        feature.name: [
            feature.unit,
            feature.meaning,
            f"`{feature.reason}`",
            "" if isinf(feature.never_ordinary) else f"{feature.never_ordinary:.2f}",
        ]
        for feature in FEATURES
    }
    assert {name: cells[:4] for name, cells in rows("features.md").items()} == expected


def test_every_never_ordinary_level_says_where_it_comes_from() -> None:
    for name, (*_, level, source) in rows("features.md").items():
        assert bool(level) == bool(source), name


def test_features_stand_under_their_family() -> None:
    sections = (ROOT / "docs" / "features.md").read_text().split("\n## ")
    tables = [section for section in sections if "\n| `" in section]
    family = {part.split("\n", 1)[0].lower(): part for part in tables}
    assert set(family) == {feature.family for feature in FEATURES}
    assert all(f"| `{feature.name}` |" in family[feature.family] for feature in FEATURES)


def test_every_reason_has_its_row() -> None:
    told = rows("reasons.md")
    assert set(told) == set(REASONS)
    for code, (attack, says, runbook) in told.items():
        assert attack.startswith(f"[{REASONS[code].attack}](https://attack.mitre.org/techniques/")
        assert says
        assert runbook == REASONS[code].runbook


def test_every_setting_is_documented() -> None:
    names = {f"ZTAD_{name.upper()}" for name in fields("settings.py", "Settings")}
    names |= set(fields("app.py", "AppArgs")) | set(fields("recorder.py", "RecorderArgs"))
    assert undocumented(names) == []


def test_every_span_is_documented() -> None:
    assert undocumented(strings("telemetry.py", r"ztad\.[a-z_.]+")) == []


@pytest.mark.parametrize("file", ["settings.py", "app.py", "telemetry.py"])
def test_where_names_are_looked_for_there_are_some(file: str) -> None:
    if not (SERVICES / file).exists():
        pytest.skip(f"services/{file} does not exist yet")
    found = strings(file, r"ztad[_.][a-z_.]+") | set(fields(file, "Settings"))
    assert found | set(fields(file, "AppArgs"))


def test_links_between_pages_lead_somewhere() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
