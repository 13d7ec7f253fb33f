"""The keys file: what is written is private, whole and without keys; what is read is checked."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.keys import KeysError, create, key_hash, read, revoke, rotate, span

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def made(file: Path, name: str = "siem", *, expires: datetime | None = None) -> str:
    return create(file, name, scopes=("read", "score"), expires=expires, now=NOON)


def document(**fields: Any) -> dict[str, Any]:
    """One entry as it stands in the file, with other values for some fields."""
    entry = {"name": "n", "sha256": "0" * 64, "scopes": ["read"], "created": "2026-11-22T12:00:00Z"}
    return {"version": 1, "keys": [{**entry, **fields}]}


def written(file: Path, content: object) -> Path:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    file.chmod(0o600)
    return file


def test_a_key_is_random_and_kept_as_a_hash(file: Path) -> None:
    first, second = made(file), made(file, "other")
    assert re.fullmatch("ztad_[0-9a-f]{64}", first)
    assert first != second
    assert [key.sha256 for key in read(file)] == [key_hash(first), key_hash(second)]
    assert first.removeprefix("ztad_") not in file.read_text()


def test_a_key_file_is_ours_alone(file: Path) -> None:
    made(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {each.name for each in file.parent.iterdir()} == {"keys.json", "keys.json.lock"}


def test_everything_asked_for_is_kept(file: Path) -> None:
    ends = NOON + timedelta(days=1)
    create(file, "a", scopes=("admin", "read"), expires=ends, requests_per_s=0.5, now=NOON)
    (key,) = read(file)
    assert (key.name, key.scopes, key.expires, key.requests_per_s) == (
        "a", ("read", "admin"), ends, 0.5,
    )  # fmt: skip
    assert key.in_force(ends - timedelta(seconds=1))
    assert not key.in_force(ends)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "a/b", "ä", 'a"b', "a\n"])
def test_no_name(file: Path, name: str) -> None:
    with pytest.raises(KeysError, match="is no name"):
        made(file, name)
    assert not file.exists()


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_no_rate(file: Path, rate: float) -> None:
    with pytest.raises(KeysError, match="requests a second"):
        create(file, "a", scopes=("read",), expires=None, requests_per_s=rate)


def test_a_name_is_taken_until_its_key_ends(file: Path) -> None:
    made(file)
    with pytest.raises(KeysError, match="there is a key 'siem'"):
        made(file)
    revoke(file, "siem", now=NOON)
    made(file)
    assert len(read(file)) == 2


def test_rotating_keeps_what_a_key_may_and_how_long_it_lives(file: Path) -> None:
    old = create(
        file, "siem", scopes=("read",), expires=NOON + span("90d"), requests_per_s=7, now=NOON
    )
    later = NOON + span("30d")
    new = rotate(file, "siem", grace=span("24h"), now=later)
    before, after = read(file)
    assert (before.sha256, after.sha256) == (key_hash(old), key_hash(new))
    assert before.expires == later + span("24h")
    assert (after.scopes, after.requests_per_s) == (("read",), 7)
    assert (after.created, after.expires) == (later, later + span("90d"))


def test_a_grace_lengthens_no_life(file: Path) -> None:
    made(file, expires=NOON + span("1h"))
    rotate(file, "siem", grace=span("24h"), now=NOON)
    assert read(file)[0].expires == NOON + span("1h")


def test_rotating_again_and_revoking_ends_all_of_a_name(file: Path) -> None:
    made(file)
    made(file, "other")
    rotate(file, "siem", grace=span("24h"), now=NOON)
    rotate(file, "siem", grace=span("0s"), now=NOON)
    assert [key.in_force(NOON) for key in read(file)] == [False, True, False, True]
    assert revoke(file, "siem", now=NOON) == 1
    assert [key.name for key in read(file) if key.in_force(NOON)] == ["other"]


@pytest.mark.parametrize("change", [revoke, lambda *of: rotate(*of, grace=span("1h"))])
def test_a_name_that_is_not_there(file: Path, change: Any) -> None:
    made(file)
    with pytest.raises(KeysError, match=r"no key 'seim' is in force; there is siem"):
        change(file, "seim")


def test_what_ended_long_ago_is_forgotten(file: Path) -> None:
    made(file)
    revoke(file, "siem", now=NOON)
    create(file, "b", scopes=("read",), expires=None, now=NOON + span("89d"))
    assert len(read(file)) == 2
    create(file, "c", scopes=("read",), expires=None, now=NOON + span("91d"))
    assert [key.name for key in read(file)] == ["b", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Input data was truncated"),
        ('{"version": 1, "keys": [', "Input data was truncated"),
        ({"version": 2, "keys": []}, "version"),
        ({"keys": [{}]}, r"missing required field `name` - at `\$.keys\[0\]`"),
        (document(scopes=["write"]), r"'write' - at `\$.keys\[0\].scopes"),
        (document(scopes=[]), "scopes"),
        (document(sha256="0" * 63), "sha256"),
        (document(expires="tomorrow"), "expires"),
        (document(expires="2026-11-22T12:00:00"), "expires"),
        (document(requests_per_s=0), "requests_per_s"),
        (document(expire="2026-11-22T12:00:00Z"), "expire"),
        ({"keys": document()["keys"] * 2}, "stands there twice"),
    ],
)
def test_a_file_that_cannot_be_used(file: Path, content: object, message: str) -> None:
    with pytest.raises(KeysError, match=message) as refused:
        read(written(file, content))
    assert str(refused.value).startswith(f"{file}: ")
    before = file.read_text()
    with pytest.raises(KeysError):
        made(file)
    assert file.read_text() == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604, 0o666])
def test_a_file_that_others_have_access_to(file: Path, mode: int) -> None:
    made(file)
    file.chmod(mode)
    with pytest.raises(KeysError, match=f"mode {mode:o}.*chmod 600"):
        read(file)


def test_a_mounted_secret_may_be_read_by_others_but_not_written(file: Path) -> None:
    """As the kubelet mounts it: a link to a link, readable by the pod's group."""
    made(file)
    mounted = file.parent / "mounted.json"
    mounted.symlink_to(file)
    file.chmod(0o440)
    assert len(read(mounted)) == 1
    file.chmod(0o460)
    with pytest.raises(KeysError, match="mode 460"):
        read(mounted)


def test_a_change_goes_where_a_link_leads(file: Path, tmp_path: Path) -> None:
    made(file)
    link = tmp_path / "link.json"
    link.symlink_to(file)
    made(link, "second")
    assert link.is_symlink()
    assert [key.name for key in read(file)] == ["siem", "second"]


def test_a_change_that_fails_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(file)
    before = file.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        made(file, "second")
    assert file.read_bytes() == before
    assert {each.name for each in file.parent.iterdir()} == {"keys.json", "keys.json.lock"}


def _make_ten(file: Path, first: int) -> None:
    for number in range(first, first + 10):
        create(file, f"k{number}", scopes=("read",), expires=None)


def test_two_who_change_at_once_lose_nothing(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_make_ten, args=(file, first)) for first in (0, 10)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert {key.name for key in read(file)} == {f"k{number}" for number in range(20)}


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5h", "90 d", "1w", "9999999d"])
def test_no_span(text: str) -> None:
    with pytest.raises(KeysError, match="such as 90d"):
        span(text)


def test_the_hash_is_plain_sha_256() -> None:
    """So that any tool can make one: ``printf %s KEY | sha256sum``."""
    assert key_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_somebody_elses_file_need_not_be_private(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(file)
    file.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert len(read(file)) == 1
