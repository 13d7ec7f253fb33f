"""Keys in force follow their file, whatever happens to it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.keyring import Keyring
from services.keys import KeysError, create, key_hash, revoke, span


def made(file: Path, name: str = "siem") -> bytes:
    """The digest of a new key."""
    secret = create(file, name, scopes=("read",), expires=datetime.now(UTC) + span("1d"))
    return hashlib.sha256(secret.encode()).digest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def name_of(ring: Keyring, digest: bytes) -> str | None:
    known = ring.find(digest)
    return known.name if known else None


def test_keys_of_a_file_and_of_the_environment(file: Path) -> None:
    digest = made(file)
    ring = Keyring(file, [key_hash("from the environment")])
    assert name_of(ring, digest) == "siem"
    fixed = ring.find(bytes.fromhex(key_hash("from the environment")))
    assert fixed is not None
    assert fixed.scopes == {"score", "read", "admin"}
    assert fixed.ends == float("inf")
    assert ring.find(b"") is None


def test_a_new_key_is_found_once_it_is_looked_for(file: Path) -> None:
    made(file)
    ring = Keyring(file)
    digest = made(file, "second")
    assert ring.find(digest) is None
    ring.refresh()
    assert name_of(ring, digest) == "second"


def test_a_revoked_key_is_known_as_such(file: Path) -> None:
    digest = made(file)
    ring = Keyring(file)
    revoke(file, "siem")
    ring.refresh()
    known = ring.find(digest)
    assert known is not None
    assert known.revoked
    assert known.ends <= datetime.now(UTC).timestamp()


def test_a_broken_file_changes_nothing_and_is_told_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digest = made(file)
    whole = file.read_bytes()
    ring = Keyring(file)
    file.write_bytes(whole[:-20])
    for _ in range(3):
        ring.refresh()
    assert name_of(ring, digest) == "siem"
    assert len(caplog.messages) == 1
    assert "the keys stay as they were" in caplog.messages[0]
    assert str(file) in caplog.messages[0]
    file.write_bytes(whole)
    ring.refresh()
    assert "1 keys read anew" in caplog.messages[1]


def test_a_file_that_goes_away_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digest = made(file)
    ring = Keyring(file)
    moved = file.rename(file.with_name("moved.json"))
    for _ in range(3):
        ring.refresh()
    assert name_of(ring, digest) == "siem"
    assert len(caplog.messages) == 1
    moved.rename(file)
    ring.refresh()
    assert name_of(ring, digest) == "siem"


def test_a_file_that_others_may_write_is_not_followed(file: Path) -> None:
    made(file)
    ring = Keyring(file)
    digest = made(file, "planted")
    file.chmod(0o666)
    ring.refresh()
    assert ring.find(digest) is None


def test_a_mounted_secret_is_followed_when_its_link_is_swapped(tmp_path: Path) -> None:
    """What the kubelet does: ``keys.json -> ..data/keys.json``, ``..data -> ..a``, then ``..b``."""
    first = made(tmp_path / "..a" / "keys.json")
    second = made(tmp_path / "..b" / "keys.json", "second")
    data = tmp_path / "..data"
    data.symlink_to("..a")
    mounted = tmp_path / "keys.json"
    mounted.symlink_to("..data/keys.json")
    ring = Keyring(mounted)
    assert name_of(ring, first) == "siem"
    swapped = tmp_path / "..data_tmp"
    swapped.symlink_to("..b")
    swapped.replace(data)
    ring.refresh()
    assert (name_of(ring, first), name_of(ring, second)) == (None, "second")


def test_a_file_may_come_later_where_there_is_another_key(file: Path) -> None:
    ring = Keyring(file, [key_hash("k")])
    ring.refresh()
    digest = made(file)
    ring.refresh()
    assert name_of(ring, digest) == "siem"


def test_nobody_could_ever_be_admitted(file: Path) -> None:
    with pytest.raises(KeysError, match="ztad keys create"):
        Keyring(None)
    with pytest.raises(KeysError, match=r"keys.json: No such file.*ztad keys create"):
        Keyring(file)


def test_a_broken_file_at_the_start_is_refused(file: Path) -> None:
    file.write_text("{}")
    file.chmod(0o600)
    with pytest.raises(KeysError, match="keys"):
        Keyring(file, [key_hash("k")])


def test_an_empty_file_lets_nobody_in(file: Path) -> None:
    file.write_text('{"version": 1, "keys": []}')
    file.chmod(0o600)
    assert Keyring(file).find(hashlib.sha256(b"").digest()) is None
