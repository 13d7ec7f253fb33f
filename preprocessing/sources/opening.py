"""From a path, or ``-`` for standard input, to a stream of events."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from preprocessing.event import FIELDS
from preprocessing.sources import lanl, native, native_csv, sshd
from preprocessing.sources.base import (
    BOM,
    Item,
    Read,
    Report,
    SourceError,
    SourceOptions,
    UnknownFormat,
)
from preprocessing.sources.syslog import infer_year, split

#: Every source by name. ``native`` tells JSON, NDJSON and CSV apart itself.
SOURCES: dict[str, Read] = {
    "native": native.read,
    "json": native.read_array,
    "ndjson": native.read_ndjson,
    "csv": native_csv.read,
    "sshd": sshd.read,
    "lanl": lanl.read,
}
#: What ``--format`` takes.
FORMATS: tuple[str, ...] = ("auto", *SOURCES)

#: A line longer than this is cut, so that a file without newlines cannot fill memory; its pieces
#: are then refused. JSON arrays, often a single line, are put together again.
MAX_LINE_BYTES = 4 << 20
#: Lines looked at to recognise a format.
_SAMPLE_LINES = 20
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_Stream = BinaryIO | gzip.GzipFile


def open_events(
    path: str | Path,
    *,
    format: str = "auto",  # noqa: A002 - the name of the command's option
    options: SourceOptions,
    report: Report | None = None,
) -> Iterator[Item]:
    """Events of a file or, with ``-``, of standard input; ``.gz`` is read by suffix.

    Raises :class:`SourceError` at once for a missing, empty or unrecognised input, and while
    reading if it turns out to be corrupt.
    """
    name = "standard input" if str(path) == "-" else str(path)
    if format not in FORMATS:
        raise UnknownFormat(name, f"unknown format {format!r}", FORMATS)
    lines = read_lines(path)
    sample = _sample(lines)
    chosen = _checked(name, sample, format)
    if chosen == "sshd" and options.year is None and Path(path).is_file():
        options = replace(options, year=infer_year(read_lines(path), options))
    items = SOURCES[chosen](chain(sample, lines), options=options, report=report)
    return _naming(name, items)


def read_lines(path: str | Path) -> Iterator[bytes]:
    """Raw lines of a file or ``-``, at most ``MAX_LINE_BYTES`` each; raises SourceError."""
    if str(path) == "-":
        return _lines("standard input", lambda: nullcontext(sys.stdin.buffer))
    path = Path(path)
    if path.is_dir():
        raise SourceError(str(path), "is a directory; name a file")
    if not path.exists():
        raise SourceError(str(path), "no such file")
    return _lines(str(path), partial(_open, path))


def _open(path: Path) -> _Stream:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _lines(name: str, opened: Callable[[], AbstractContextManager[_Stream]]) -> Iterator[bytes]:
    try:
        with opened() as stream:
            yield from iter(partial(stream.readline, MAX_LINE_BYTES), b"")
    except gzip.BadGzipFile as error:
        raise SourceError(name, f"not valid gzip: {error}") from None
    except EOFError:
        raise SourceError(name, "gzip data ends too early; the file is cut off") from None
    except zlib.error as error:
        raise SourceError(name, f"gzip data is corrupt: {error}") from None
    except OSError as error:
        raise SourceError(name, f"cannot be read: {error.strerror or error}") from None


def _naming(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """The items; a SourceError of the source gains the name of the input."""
    try:
        yield from items
    except SourceError as error:
        raise error if error.name == name else SourceError(name, str(error)) from None


def _sample(lines: Iterator[bytes]) -> list[bytes]:
    """The first lines: as few as tell the format, for a pipe may be slow to send more."""
    sample: list[bytes] = []
    for line in islice(lines, _SAMPLE_LINES):
        sample.append(line)
        if detect(sample):
            break
    return sample


def _checked(name: str, sample: list[bytes], chosen: str) -> str:
    """The format to read in, ``auto`` resolved; refuses what is no text with content."""
    start = b"".join(sample)
    if not start.removeprefix(BOM).strip():
        raise SourceError(name, "is empty")
    if start.startswith(_GZIP):
        raise SourceError(name, "is compressed with gzip; give it the suffix .gz, or unpack it")
    if start.startswith(_UTF16):
        raise SourceError(name, "is UTF-16; convert it to UTF-8")
    if chosen != "auto":
        return chosen
    found = detect(sample) or _by_suffix(name)
    if found is None:
        raise UnknownFormat(name, "format not recognised; say --format", FORMATS)
    return found


def detect(sample: Iterable[bytes]) -> str | None:
    """The format of the first lines of an input, ``None`` if no source recognises them."""
    lines = [line.removeprefix(BOM).strip() for line in sample]
    lines = [line for line in lines if line]
    first = lines[0] if lines else b""
    if first.startswith(b"["):
        return "json"
    if first.startswith(b"{"):
        return "ndjson"
    if first == lanl.HEADER.encode():
        return "lanl"
    columns = {column.strip(b' "').decode("utf-8", "replace") for column in first.split(b",")}
    if columns & set(FIELDS):
        return "csv"
    syslog = (split(line.decode("utf-8", "replace")) for line in lines)
    return "sshd" if any(syslog) else None


def _by_suffix(name: str) -> str | None:
    suffixes = [suffix for suffix in Path(name).suffixes if suffix != ".gz"]
    known = {".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv"}
    return known.get(suffixes[-1]) if suffixes else None
