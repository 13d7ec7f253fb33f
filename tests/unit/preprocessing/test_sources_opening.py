"""From a path to events: formats found by content, and clear words for what cannot be read."""

from __future__ import annotations

import gzip
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from preprocessing.event import AuthEvent
from preprocessing.sources import (
    FORMATS,
    SOURCES,
    Item,
    SourceError,
    SourceOptions,
    UnknownFormat,
    open_events,
)
from preprocessing.sources.lanl import HEADER
from preprocessing.sources.opening import MAX_LINE_BYTES

OPTIONS = SourceOptions(now_s=datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp())
JSON = json.dumps({"timestamp": "2026-11-22T08:15:00Z", "user_id": "u", "outcome": "success"})
CSV = "outcome,user_id,timestamp\nsuccess,u,2026-11-22T08:15:00Z\n"
SSHD = "Mar  7 09:01:02 web1 sshd[1]: Accepted password for u from 192.0.2.1 port 1 ssh2\n"
LANL = f"{HEADER}\n1,u,u,C1,C2,NTLM,Network,LogOn,Success\n"
SAMPLES = {
    "json": f"\n[{JSON}]",
    "ndjson": f"\n{JSON}\n",
    "csv": CSV,
    "sshd": "noise\n" + SSHD,
    "lanl": LANL,
}


def read(path: Path, *, named: str = "auto") -> list[Item]:
    return list(open_events(path, format=named, options=OPTIONS))


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_formats_are_recognised(name: str, mark: bytes, suffix: str, tmp_path: Path) -> None:
    content = mark + SAMPLES[name].encode()
    path = written(tmp_path / f"in{suffix}", gzip.compress(content) if suffix else content)
    assert [item.user_id for item in read(path) if isinstance(item, AuthEvent)] == ["u"]
    assert read(path) == read(path, named=name)


def test_every_source_is_a_format() -> None:
    assert FORMATS == ("auto", "native", "json", "ndjson", "csv", "sshd", "lanl")
    assert all(callable(source) for source in SOURCES.values())


def test_native_finds_its_three_shapes(tmp_path: Path) -> None:
    for name in ("json", "ndjson", "csv"):
        path = written(tmp_path / name, SAMPLES[name])
        assert read(path, named="native") == read(path)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SSHD.encode())))
    (event,) = open_events("-", options=OPTIONS)
    assert isinstance(event, AuthEvent)
    assert event.timestamp.year == 2026


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n\n", "is empty"),
        (gzip.compress(b"{}"), "compressed with gzip"),
        ("[]".encode("utf-16"), "UTF-16"),
        (b"hello\nworld\n", "format not recognised"),
        (b"\x00" * 1000, "format not recognised"),
        (b"user_id,outcome\nu,success\n", "no column timestamp"),
        (b"[1, 2", "expected a JSON array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_content(content: bytes, problem: str, tmp_path: Path) -> None:
    path = written(tmp_path / "in", content)
    with pytest.raises(SourceError, match=problem) as refused:
        read(path)
    assert refused.value.name == str(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not gzip", "not valid gzip"),
        (gzip.compress(CSV.encode() * 1000)[:-20], "cut off"),
        (gzip.compress(b"")[:10] + b"\xff" * 40, "corrupt"),
        (b"", "is empty"),
    ],
    ids=["no gzip", "cut off", "corrupt", "empty"],
)
def test_bad_gzip(content: bytes, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=problem):
        read(written(tmp_path / "in.csv.gz", content))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_events(tmp_path / "absent.csv", options=OPTIONS)
    with pytest.raises(SourceError, match="is a directory"):
        open_events(tmp_path, options=OPTIONS)


def test_unknown_formats_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match="known formats: auto, native, json") as refused:
        open_events(tmp_path, format="evtx", options=OPTIONS)
    assert "lanl" in refused.value.known


def test_the_suffix_decides_when_content_does_not(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column timestamp, user_id, outcome"):
        read(written(tmp_path / "in.csv", "a;b;c\n"))


def test_a_file_without_newlines_is_read_in_pieces(tmp_path: Path) -> None:
    content = f'{{"user_id": "{"x" * 3 * MAX_LINE_BYTES}"}}\n{JSON}\n'
    found = read(written(tmp_path / "in", content))
    assert isinstance(found[-1], AuthEvent)
    assert all(not isinstance(item, AuthEvent) for item in found[:-1])
    assert len(found) == 5
