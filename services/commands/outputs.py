"""Files a command writes: whole under their name, or not there; verdicts as NDJSON or CSV."""

from __future__ import annotations

import csv
import gzip
import io
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from ensemble.verdict import Verdict
from preprocessing.sources import Rejected

#: Verdict fields as CSV columns; ``detectors`` follow, one column each.
COLUMNS = (
    "event_id", "user_id", "score", "is_anomaly", "threshold", "severity", "reason_codes",
    "reasons", "variant", "model_version", "degraded", "learning", "late", "duplicate",
)  # fmt: skip

_ENCODE = msgspec.json.Encoder().encode


@contextmanager
def output(path: str) -> Iterator[BinaryIO]:
    """A binary stream to a file, compressed if its name ends in .gz, or with ``-`` to stdout.

    A file gets its name when the block succeeds; otherwise what was there before stays.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()
    if target.exists() and not target.is_file():  # a pipe or a device is written as it is
        with target.open("wb") as stream:
            yield stream
        return
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _opened(draft, target.suffix == ".gz") as stream:
            yield stream
        os.replace(draft, target)
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "no such directory", str(target.parent)) from None
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, compressed: bool) -> Iterator[BinaryIO]:
    with path.open("wb") as stream:
        if not compressed:
            yield stream
            return
        # Neither name nor time in the header: the same verdicts give the same bytes.
        with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
            yield packed  # type: ignore[misc]


class Verdicts(Protocol):
    """Writes verdicts in one format."""

    def write(self, verdicts: Sequence[Verdict]) -> None:
        """Write one batch, in order."""


class NdjsonVerdicts:
    """One JSON object per line, as the gateway answers."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, verdicts: Sequence[Verdict]) -> None:
        self._stream.write(b"".join(_ENCODE(verdict) + b"\n" for verdict in verdicts))


class CsvVerdicts:
    """One row per verdict: reasons joined, a column for each detector."""

    def __init__(self, stream: BinaryIO, detectors: Sequence[str]) -> None:
        self._stream = stream
        self._detectors = detectors
        self._text = io.StringIO()
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow((*COLUMNS, *detectors))
        self._flush()

    def write(self, verdicts: Sequence[Verdict]) -> None:
        self._rows.writerows(self._row(verdict) for verdict in verdicts)
        self._flush()

    def _row(self, verdict: Verdict) -> list[object]:
        joined = {
            "reason_codes": "+".join(reason.code for reason in verdict.reasons),
            "reasons": "; ".join(reason.text for reason in verdict.reasons),
        }
        cells = [joined[name] if name in joined else getattr(verdict, name) for name in COLUMNS]
        cells += [verdict.detectors.get(name) for name in self._detectors]
        return [str(cell).lower() if isinstance(cell, bool) else cell for cell in cells]

    def _flush(self) -> None:
        self._stream.write(self._text.getvalue().encode("utf-8", "replace"))
        self._text.seek(0)
        self._text.truncate()


def verdict_writer(path: str, stream: BinaryIO, detectors: Sequence[str]) -> Verdicts:
    """CSV if the name says so, before a possible .gz; else NDJSON."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != ".gz"]
    if suffixes[-1:] == [".csv"]:
        return CsvVerdicts(stream, detectors)
    return NdjsonVerdicts(stream)


def encode_rejected(rejected: Rejected) -> bytes:
    """One line: where, whose, what was expected, and the raw line, undecodable bytes escaped."""
    line = {
        "line": rejected.line_number,
        "event_id": rejected.event_id,
        "error": {"field": rejected.field, "message": rejected.message},
        "raw": rejected.raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace"),
    }
    return _ENCODE(line) + b"\n"
