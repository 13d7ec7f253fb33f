"""Rules that change while alerts flow."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from alerting.rules import Rules
from alerting.rules_file import RulesFile

GOOD = "keep: 10d\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.yaml"


def of_rules(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was said of rules: asyncio may have to say something of a test before, at any time."""
    return [record for record in caplog.records if record.name == "ztad.alerting"]


def test_a_change_takes_effect(path: Path) -> None:
    path.write_text(GOOD)
    file = RulesFile(path)
    assert file.rules.keep == 10 * 86400
    assert not file.poll()
    path.write_text("keep: 9d\n")
    os.utime(path, ns=(1, 1))  # even with a clock that went back
    assert file.poll()
    assert file.rules.keep == 9 * 86400
    assert not file.poll()


def test_a_file_put_in_its_place_is_noticed(path: Path) -> None:
    """How editors save, and how Kubernetes updates a ConfigMap."""
    path.write_text(GOOD)
    file = RulesFile(path)
    other = path.with_name("other.yaml")
    other.write_text("keep: 9d\n")
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert file.poll()


def test_a_comment_changes_no_rules(path: Path) -> None:
    path.write_text(GOOD)
    file = RulesFile(path)
    path.write_text(f"# why\n{GOOD}")
    assert not file.poll()


def test_a_broken_change_leaves_the_rules_as_they_are(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(GOOD)
    file = RulesFile(path)
    path.write_text("kep: 9d\n")
    with caplog.at_level(logging.ERROR):
        assert not file.poll()
        assert not file.poll()
    assert file.rules.keep == 10 * 86400
    assert "did you mean 'keep'?" in file.problem
    assert [str(path) in each.getMessage() for each in of_rules(caplog)] == [True]
    path.write_text(GOOD)
    file.poll()
    assert file.problem == ""


def test_a_file_that_is_not_there_yet(path: Path) -> None:
    file = RulesFile(path)
    assert file.rules == Rules()
    assert "No such file" in file.problem
    path.write_text(GOOD)
    assert file.poll()
    assert file.problem == ""


def test_a_file_that_goes_away_leaves_its_rules(path: Path) -> None:
    path.write_text(GOOD)
    file = RulesFile(path)
    path.unlink()
    assert not file.poll()
    assert file.rules.keep == 10 * 86400
    assert "No such file" in file.problem


def test_no_file_at_all() -> None:
    file = RulesFile(None)
    assert not file.poll()
    assert (file.rules, file.problem) == (Rules(), "")
