"""Appending without waiting: what reaches the file, and what happens when it cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from preprocessing.appender import Appender
from preprocessing.frames import read

NEVER_S = 1e6


@pytest.fixture
def appender(tmp_path: Path) -> Iterator[Appender]:
    appender = Appender(tmp_path / "a", flush_s=NEVER_S, most_queued_bytes=100)
    yield appender
    appender.close()


def written(path: Path) -> list[bytes]:
    frames = read(path.read_bytes())
    assert (frames.damaged, frames.torn_bytes) == (0, 0)
    return [bytes(payload) for payload in frames.payloads]


def break_disk(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes get half way, as on a disk that fills up."""

    def half(fd: int, data: memoryview) -> int:
        if len(data) < 2:
            raise OSError(28, "No space left on device")
        return write(fd, data[: len(data) // 2])

    write = os.write
    monkeypatch.setattr("preprocessing.appender.os.write", half)


def test_order_is_kept(appender: Appender, tmp_path: Path) -> None:
    for payload in (b"1", b"2", b"3"):
        appender.append(payload)
    appender.flush()
    appender.append(b"4")
    appender.flush()
    assert written(tmp_path / "a") == [b"1", b"2", b"3", b"4"]


def test_a_new_file_begins_where_it_was_asked_for(appender: Appender, tmp_path: Path) -> None:
    appender.append(b"1")
    appender.switch(tmp_path / "b")
    appender.append(b"2")
    appender.flush()
    assert written(tmp_path / "a") == [b"1"]
    assert written(tmp_path / "b") == [b"2"]


def test_closing_writes_what_is_left(tmp_path: Path) -> None:
    appender = Appender(tmp_path / "a", flush_s=NEVER_S, most_queued_bytes=100)
    appender.append(b"1")
    appender.close()
    assert written(tmp_path / "a") == [b"1"]


def test_nobody_else_may_read(appender: Appender, tmp_path: Path) -> None:
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_loses_nothing_for_a_while(
    appender: Appender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appender.append(b"before")
    appender.flush()
    with monkeypatch.context() as broken:
        break_disk(appender, broken)
        appender.append(b"during")
        appender.flush()
        assert appender.error is not None
        assert "No space left" in appender.error
        assert written(tmp_path / "a") == [b"before"]
    appender.append(b"after")
    appender.flush()
    assert appender.error is None
    assert appender.lost == 0
    assert written(tmp_path / "a") == [b"before", b"during", b"after"]


def test_a_disk_full_for_long_costs_records_not_memory(
    appender: Appender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        break_disk(appender, broken)
        for _ in range(3):
            appender.append(b"x" * 60)
            appender.flush()
        appender.switch(tmp_path / "b")
        appender.append(b"y")
    appender.flush()
    assert appender.lost == 2
    assert written(tmp_path / "b") == [b"y"]


def test_a_directory_that_vanished_is_an_error_not_an_end(
    appender: Appender, tmp_path: Path
) -> None:
    appender.switch(tmp_path / "gone" / "b")
    appender.append(b"1")
    appender.flush()
    assert appender.error is not None
    (tmp_path / "gone").mkdir()
    appender.flush()
    assert written(tmp_path / "gone" / "b") == [b"1"]
