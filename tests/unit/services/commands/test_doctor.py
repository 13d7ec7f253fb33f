"""What ``ztad doctor`` says of keys and of runs."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services import runs
from services.commands.doctor import Finding, _keys, _runs
from services.keys import create
from services.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def made(settings: Settings, name: str, *, days: int) -> None:
    ends = datetime.now(UTC) + timedelta(days=days)
    create(settings.keys_path, name, scopes=("read",), expires=ends)


def test_no_keys(settings: Settings) -> None:
    (finding,) = _keys(settings)
    assert finding.level == "note"
    assert "ztad keys create" in finding.mend


def test_keys_and_one_that_expires_soon(settings: Settings) -> None:
    made(settings, "siem", days=90)
    made(settings, "probe", days=13)
    assert list(_keys(settings.model_copy(update={"api_keys": ("k" * 64,)}))) == [
        Finding("ok", "API keys", f"2 in {settings.keys_path}, 1 in ZTAD_API_KEYS"),
        Finding("note", "API key probe", "expires within two weeks", "'ztad keys rotate probe'"),
    ]


def test_keys_that_cannot_be_used(settings: Settings) -> None:
    made(settings, "siem", days=90)
    settings.keys_path.chmod(0o644)
    (finding,) = _keys(settings)
    assert finding.level == "problem"
    assert "chmod 600" in finding.how


def test_where_a_run_listens(settings: Settings) -> None:
    run = runs.this_process(runs.new_run_id(), "127.0.0.1", 8000, settings.home)
    runs.write(settings.home, run)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        found = list(_runs(settings))
        assert found[0].what == "serving"
        assert f"127.0.0.1:{listener.getsockname()[1]}" in found[1].how
        assert found[1].what == "listening"
