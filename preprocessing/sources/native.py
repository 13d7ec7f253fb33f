"""Events in our own shape: a JSON array, NDJSON or CSV, told apart by the first line.

The keys and columns are the fields of :class:`preprocessing.event.AuthEvent`; unknown ones are
ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec

from preprocessing.event import InvalidEvent, LineIds, decode_unidentified, split_array
from preprocessing.sources import native_csv
from preprocessing.sources.base import (
    Item,
    Rejected,
    Report,
    SourceError,
    SourceOptions,
    without_bom,
)

#: A JSON array is read whole; this bounds it. NDJSON and CSV stream and have no bound.
MAX_ARRAY_BYTES = 1 << 30


def read(
    lines: Iterable[bytes], *, options: SourceOptions, report: Report | None = None
) -> Iterator[Item]:
    """A JSON array, NDJSON or CSV, by the first line that is not blank."""
    rest = without_bom(lines)
    for first in rest:
        start = first.strip()[:1]
        if start:
            chosen = {b"[": read_array, b"{": read_ndjson}.get(start, native_csv.read)
            yield from chosen(chain([first], rest), options=options, report=report)
            return


def read_ndjson(
    lines: Iterable[bytes], *, options: SourceOptions, report: Report | None = None
) -> Iterator[Item]:
    """One JSON object per line; blank lines are nothing."""
    return _decoded(without_bom(lines), options.now_s)


def read_array(
    lines: Iterable[bytes], *, options: SourceOptions, report: Report | None = None
) -> Iterator[Item]:
    """One JSON array, read whole, up to ``MAX_ARRAY_BYTES``; SourceError if it is malformed."""
    body = _joined(without_bom(lines))
    try:
        items = split_array(body)
    except InvalidEvent as error:
        raise SourceError("JSON array", error.message) from None
    del body
    yield from _decoded(items, options.now_s)


def _decoded(raws: Iterable[bytes], now_s: float) -> Iterator[Item]:
    ids = LineIds()
    for number, raw in enumerate(raws, 1):
        try:
            event = decode_unidentified(raw, now_s=now_s)
        except InvalidEvent as error:
            if raw.strip():
                yield Rejected.of(error, number, raw)
            continue
        yield event if event.event_id else msgspec.structs.replace(event, event_id=ids(raw))


def _joined(lines: Iterable[bytes]) -> bytes:
    parts = bytearray()
    for line in lines:
        parts += line
        if len(parts) > MAX_ARRAY_BYTES:
            problem = f"larger than {MAX_ARRAY_BYTES >> 20} MiB; use NDJSON, which streams"
            raise SourceError("JSON array", problem)
    return bytes(parts)
