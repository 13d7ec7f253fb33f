"""Whom ``ztad serve`` lets in, for what it is told and what keys there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.commands.admission import decide
from services.keys import KeysError, create, key_hash, revoke
from services.settings import Settings

LONG = "k" * 64


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def with_key(settings: Settings) -> None:
    create(settings.keys_path, "siem", scopes=("read",), expires=None)


def test_without_any_key_this_machine_alone(settings: Settings) -> None:
    decided = decide(None, None, settings)
    assert (decided.auth, decided.host) == ("none", "127.0.0.1")
    assert decided.arguments == {"auth": "none", "audit_log": str(settings.audit_path)}
    assert "only this machine" in decided.notes[0]


def test_with_a_key_in_the_file(settings: Settings) -> None:
    with_key(settings)
    decided = decide(None, None, settings)
    assert (decided.auth, decided.host, decided.notes) == ("keys", "0.0.0.0", [])
    assert decided.arguments == {
        "auth": "keys",
        "keys_file": str(settings.keys_path),
        "api_key_hashes": [],
        "audit_log": str(settings.audit_path),
    }


def test_with_a_key_in_the_environment(settings: Settings) -> None:
    """The file is followed all the same: a key made later is known without a restart."""
    decided = decide(None, None, settings.model_copy(update={"api_keys": (LONG,)}))
    assert decided.arguments["api_key_hashes"] == [key_hash(LONG)]
    assert decided.arguments["keys_file"] == str(settings.keys_path)
    assert decided.notes == []


def test_a_key_that_people_might_guess(settings: Settings) -> None:
    decided = decide("keys", None, settings.model_copy(update={"api_keys": (LONG, "hunter2")}))
    assert "fewer than 32 characters" in decided.notes[0]
    assert "hunter2" not in str(decided.notes)


def test_none_although_there_are_keys(settings: Settings) -> None:
    with_key(settings)
    assert decide("none", None, settings).arguments["auth"] == "none"


def test_none_although_the_keys_file_is_broken(settings: Settings) -> None:
    settings.keys_path.write_text("{")
    assert decide("none", None, settings).auth == "none"
    with pytest.raises(KeysError):
        decide(None, None, settings)


def test_keys_without_any(settings: Settings) -> None:
    with pytest.raises(KeysError, match=r"there is none yet: .*ztad keys create"):
        decide("keys", None, settings)


@pytest.mark.parametrize("auth", [None, "keys"])
def test_revoking_the_last_key_opens_nothing(settings: Settings, auth: None) -> None:
    with_key(settings)
    revoke(settings.keys_path, "siem")
    with pytest.raises(KeysError, match=r"every key in .*keys.json has ended"):
        decide(auth, None, settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.com", ""])
def test_without_keys_no_other_host(settings: Settings, host: str) -> None:
    if not host:
        assert decide("none", host, settings).host == "127.0.0.1"
        return
    with pytest.raises(KeysError, match=f"listening on {host} needs keys"):
        decide("none", host, settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_without_keys_loopback(settings: Settings, host: str) -> None:
    assert decide(None, host, settings).host == host


def test_with_keys_a_host_of_ones_own(settings: Settings) -> None:
    with_key(settings)
    assert decide(None, "192.0.2.7", settings).host == "192.0.2.7"
