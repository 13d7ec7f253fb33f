"""Compiled modules are used for exactly their sources, and compute what the sources say."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import preprocessing
from preprocessing import compiled

ROOT = Path(__file__).resolve().parents[3]
#: Facts and state of two weeks of events, learned all, as one sum.
SUM = """
import hashlib
from preprocessing.embedded import EmbeddedHistory
from tests.unit.preprocessing.fortnight import fortnight

history, found = EmbeddedHistory(), hashlib.sha256()
events = fortnight()
for at in range(0, len(events), 100):
    some = events[at : at + 100]
    facts = history.observe(some, now_s=1e9)
    found.update(facts.values.tobytes() + facts.trails.tobytes())
    history.learn([each.event_id for each in some])
found.update(history.snapshot())
import preprocessing.lookup
print(preprocessing.lookup.__file__.endswith(".py"), found.hexdigest())
"""
#: Before anything else of the package is imported: without what is compiled.
PLAIN = "import preprocessing; del preprocessing.__path__[:-1]\n"

needs_compiled = pytest.mark.skipif(
    not preprocessing.COMPILED, reason="nothing is compiled here (make compile)"
)


def summed(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@needs_compiled
def test_compiled_and_plain_agree_to_the_last_bit() -> None:
    plain, compiled_sum = summed(PLAIN + SUM), summed(SUM)
    assert plain[0] == "True"
    assert compiled_sum[0] == "False"
    assert plain[1] == compiled_sum[1]


@needs_compiled
def test_every_module_is_the_compiled_one() -> None:
    from preprocessing import lookup, state

    assert not str(lookup.__file__).endswith(".py")
    assert not str(state.__file__).endswith(".py")


def test_other_sources_are_other_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "SOURCES", tmp_path)
    (tmp_path / "one.py").write_text("x = 1\n")
    before = compiled.folder()
    assert compiled.folder() == before
    (tmp_path / "one.py").write_text("x = 2\n")
    assert compiled.folder() != before


def test_a_folder_without_one_of_them_is_not_used(tmp_path: Path) -> None:
    for name in compiled.MODULES:
        assert not compiled.is_whole(tmp_path)
        (tmp_path / f"{name}{EXTENSION_SUFFIXES[0]}").touch()
    assert compiled.is_whole(tmp_path)
