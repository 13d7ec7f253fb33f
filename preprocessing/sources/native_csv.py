"""CSV with the event's fields as columns, in any order; an empty cell is an absent field.

RFC 4180: cells may be quoted and then hold commas, doubled quotes and newlines. Columns we do not
know are ignored. A bad row is refused alone: a quote that never closes costs its own line, not the
lines it would have swallowed.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from preprocessing.event import (
    FIELDS,
    AuthEvent,
    InvalidEvent,
    LineIds,
    from_mapping,
)
from preprocessing.sources.base import (
    Item,
    Rejected,
    Report,
    SourceError,
    SourceOptions,
    without_bom,
)

REQUIRED = ("timestamp", "user_id", "outcome")


def read(
    lines: Iterable[bytes], *, options: SourceOptions, report: Report | None = None
) -> Iterator[Item]:
    """Rows -> events. SourceError if the header is missing a required column."""
    feed = _Lines(without_bom(lines))
    rows = csv.reader(feed, strict=True)
    names = _header(rows)
    ids, now_s = LineIds(), options.now_s
    for row in _rows(rows, feed):
        raw = feed.taken()
        try:
            event = _event(names, row, raw, now_s)
        except InvalidEvent as error:
            yield Rejected.of(error, feed.first_number, raw)
            continue
        yield event if event.event_id else msgspec.structs.replace(event, event_id=ids(raw))


def cells(event: AuthEvent) -> list[str]:
    """The event as one row under the header ``FIELDS``; reading it gives an equal event."""
    return [_cell(getattr(event, name)) for name in FIELDS]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


class _Lines:
    """Feeds text to csv.reader and remembers the raw lines of the row being read."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._again: deque[bytes] = deque()
        self._row: list[bytes] = []
        self._next_number = 1
        self.first_number = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = self._again.popleft() if self._again else next(self._lines)
        self._row.append(raw)
        return raw.decode("utf-8", "surrogateescape")

    def taken(self) -> bytes:
        """The raw bytes of the row just read, with its newlines; the next row starts here."""
        row, self._row = self._row, []
        self.first_number = self._next_number
        self._next_number += len(row)
        return row[0] if len(row) == 1 else b"".join(row)

    def retry_after_first(self) -> None:
        """Blame the first line of the row alone: the others are read again, as rows."""
        self._again.extendleft(reversed(self._row[1:]))
        del self._row[1:]


def _header(rows: Iterator[list[str]]) -> list[str]:
    try:
        names = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise SourceError("CSV", f"malformed header: {error}") from None
    if not all(name.isascii() or _is_utf8(name) for name in names):
        raise SourceError("CSV", "the header is not valid UTF-8")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        expected = f"expected a header with at least {', '.join(REQUIRED)}"
        raise SourceError("CSV", f"no column {', '.join(missing)}; {expected}")
    twice = sorted({name for name in names if name in FIELDS and names.count(name) > 1})
    if twice:
        raise SourceError("CSV", f"column {', '.join(twice)} appears more than once")
    return names


def _rows(rows: Iterator[list[str]], feed: _Lines) -> Iterator[list[str] | csv.Error]:
    """Rows in order, a csv.Error in place of each malformed one; blank lines are left out."""
    feed.taken()
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            feed.retry_after_first()
            yield error
            continue
        if row:
            yield row
        else:
            feed.taken()


def _event(names: list[str], row: list[str] | csv.Error, raw: bytes, now_s: float) -> AuthEvent:
    if isinstance(row, csv.Error):
        raise InvalidEvent("row", f"malformed CSV: {row}")
    if len(row) != len(names):
        raise InvalidEvent("row", f"expected {len(names)} cells as in the header, got {len(row)}")
    known: dict[str, Any] = {name: cell for name, cell in zip(names, row, strict=True) if cell}
    if not raw.isascii():
        _require_utf8(known)
    return from_mapping(known, raw, now_s=now_s)


def _require_utf8(known: dict[str, str]) -> None:
    for name in FIELDS:
        if not _is_utf8(known.get(name, "")):
            event_id = None if name == "event_id" else known.get("event_id")
            raise InvalidEvent(name, "not valid UTF-8", event_id)


def _is_utf8(text: str) -> bool:
    """False if surrogateescape put anything in the place of bytes."""
    return not any("\udc80" <= character <= "\udcff" for character in text)
