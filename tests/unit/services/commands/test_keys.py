"""``ztad keys``: a key is seen once, its life is followed in the list and in the audit log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from services.cli import main
from services.keys import key_hash, read

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZTAD_HOME", str(tmp_path))
    for name in ("ZTAD_KEYS_FILE", "ZTAD_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def ztad(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``ztad keys WORDS``; its exit code and what it says on both outputs."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["keys", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_key_is_alone_on_standard_output(ztad: Run, home: Path) -> None:
    code, out, err = ztad("create", "--name", "siem", "--scopes", "read,score", "--rate", "500")
    assert code == 0
    assert re.fullmatch("ztad_[0-9a-f]{64}\n", out)
    assert out.strip() not in err
    (key,) = read(home / "keys.json")
    assert (key.name, key.sha256, key.scopes) == ("siem", key_hash(out.strip()), ("score", "read"))
    assert key.requests_per_s == 500
    assert key.expires is not None
    assert round((key.expires - key.created).total_seconds() / 86400) == 90


def test_a_key_without_end(ztad: Run, home: Path) -> None:
    assert ztad("create", "--name", "a", "--expires", "never")[0] == 0
    assert read(home / "keys.json")[0].expires is None


def test_the_list_tells_everything_but_the_key(ztad: Run) -> None:
    assert "no keys in" in ztad("list")[1]
    key = ztad("create", "--name", "siem", "--rate", "0.5")[1].strip()
    other = ztad("create", "--name", "ops", "--scopes", "admin", "--expires", "never")[1].strip()
    ztad("revoke", "siem")
    head, siem, ops = ztad("list")[1].splitlines()
    assert head.split()[:3] == ["NAME", "KEY", "SCOPES"]
    assert siem.split()[:3] == ["siem", key_hash(key)[:8], "score,read"]
    assert siem.endswith("0.5         revoked")
    assert ops.split()[:3] == ["ops", key_hash(other)[:8], "admin"]
    assert ops.endswith("in force")
    assert key not in siem


def test_rotating(ztad: Run, home: Path) -> None:
    old = ztad("create", "--name", "siem")[1].strip()
    code, out, err = ztad("rotate", "siem", "--grace", "2h")
    assert code == 0
    assert out.strip() != old
    assert "goes on for 2h" in err
    before, after = read(home / "keys.json")
    assert (before.sha256, after.sha256) == (key_hash(old), key_hash(out.strip()))


def test_every_change_is_audited(ztad: Run, home: Path) -> None:
    key = ztad("create", "--name", "siem")[1].strip()
    ztad("rotate", "siem")
    ztad("revoke", "siem")
    ztad("revoke", "nobody")
    lines = [json.loads(line) for line in (home / "audit.log").read_text().splitlines()]
    assert [(line["what"], line["target"]) for line in lines] == [
        ("key_created", "siem"), ("key_rotated", "siem"), ("key_revoked", "siem"),
    ]  # fmt: skip
    assert all(line["caller"].startswith("command-line:") for line in lines)
    assert key not in (home / "audit.log").read_text()


def test_another_file(ztad: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTAD_KEYS_FILE", str(home / "set.json"))
    ztad("create", "--name", "a")
    ztad("--keys-file", str(home / "given.json"), "create", "--name", "b")
    assert [key.name for key in read(home / "set.json")] == ["a"]
    assert [key.name for key in read(home / "given.json")] == ["b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "--name", "a b"), "'a b' is no name"),
        (("create", "--name", "a", "--scopes", "write"), "expected some of score, read, admin"),
        (("create", "--name", "a", "--scopes", ""), "expected some of"),
        (("create", "--name", "a", "--expires", "soon"), "such as 90d"),
        (("create", "--name", "a", "--rate", "0"), "more than 0"),
        (("rotate", "a"), "no key 'a' is in force; there is none"),
        (("revoke", "a"), "no key 'a'"),
    ],
)
def test_what_cannot_be_done(ztad: Run, words: tuple[str, ...], message: str) -> None:
    code, out, err = ztad(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("ztad keys: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [(), ("create",), ("rotate",), ("show",)])
def test_bad_usage(ztad: Run, words: tuple[str, ...]) -> None:
    assert ztad(*words)[0] == 2


def test_a_file_that_cannot_be_used(ztad: Run, home: Path) -> None:
    (home / "keys.json").write_text("{")
    (home / "keys.json").chmod(0o600)
    for words in (("list",), ("create", "--name", "a")):
        code, _, err = ztad(*words)
        assert code == 2
        assert "keys.json: Input data was truncated" in err
