"""What the pages tell people to open and to type is there."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli import COMMANDS, _parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_place_in_the_readmes_table_exists() -> None:
    table = (
        (ROOT / "README.md").read_text().split("\n## Where does X happen\n")[1].split("\n## ")[0]
    )
    missing = []
    for row in table.splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w/.]+(?:\.\w+|/))`", row.rpartition(" | ")[2]):
            place = ROOT / name if "/" in name else folder / name
            folder = place if name.endswith("/") else place.parent
            if not place.exists():
                missing.append(str(place.relative_to(ROOT)))
    assert missing == []


def code(page: Path) -> Iterator[str]:
    """Lines of blocks of code, and code spans."""
    for index, part in enumerate(page.read_text().split("```")):
        yield from part.splitlines() if index % 2 else re.findall(r"`([^`]+)`", part)


def calls() -> Iterator[tuple[str, str]]:
    """Every ``ztad`` command line, with the page it is on."""
    for page in PAGES:
        for text in code(page):
            for call in re.split(r"(?<![\w/.-])ztad (?=[a-z])", " ".join(text.split()))[1:]:
                yield page.name, re.split(r"[;|&)]| #", call)[0].strip()


def options(parser: argparse.ArgumentParser, words: list[str]) -> set[str]:
    """Every option of a command, and of the commands of a command that the words name."""
    known: set[str] = set()
    for action in parser._actions:
        known |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            chosen = [action.choices[word] for word in words if word in action.choices]
            assert chosen or not words, f"none of {', '.join(action.choices)} in {words}"
            known |= {name for each in chosen[:1] for name in options(each, words[1:])}
    return known


@pytest.mark.parametrize(("page", "call"), sorted(set(calls())))
def test_every_command_on_a_page_exists_with_its_options(page: str, call: str) -> None:
    words = call.split()
    assert words[0] in COMMANDS, call
    known = options(_parser(words[:1]), words)
    given = {word.partition("=")[0] for word in words if re.match(r"--\w", word)}
    assert given <= known, call
