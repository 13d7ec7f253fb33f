"""Verdicts into their tables, in whole batches."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.manifest import MANIFEST
from services.storage import events
from services.storage.blocks import blocks
from services.storage.packing import NOTABLE_SCORE, PLAIN, gist, pack
from services.wire import Recorded

# Python looks for an adapter of every None and every ``bytes``, in vain: a microsecond a verdict.
_VERDICT = "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?)"
_EVIDENCE = "INSERT INTO evidence VALUES (?, ?, ?, ?, ?)"
# Of those that were just put in; an event that was there before keeps what it has.
_PLACES = "SELECT place FROM verdicts WHERE place BETWEEN ? AND ? ORDER BY place"
_DOCUMENTS = "INSERT INTO documents VALUES (?, ?, ?)"
#: The document of a verdict that is in a block.
IN_BLOCK = b""
_SHADOW = "INSERT OR IGNORE INTO shadow VALUES (?, ?, ?, ?, ?, ?, ?)"
_BUNDLE = """
    INSERT INTO bundles (version, manifest, path) VALUES (?, ?, ?)
    ON CONFLICT (version, manifest) DO UPDATE SET path = excluded.path RETURNING bundle
"""
_FRAME = """
    INSERT INTO frames (document, bundle) VALUES (?, ?)
    ON CONFLICT (document, bundle) DO UPDATE SET bundle = excluded.bundle RETURNING frame
"""

_Rest = tuple[int, int, str, bytes | bytearray]
"""Frame, severity, reason (empty for none) and document of a verdict."""

Mark = str
"""Name of a number that is kept beside the verdicts: a place, or how many there are of a kind."""


def mark(connection: sqlite3.Connection, name: Mark) -> int:
    """The number of that name."""
    (value,) = connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
    return int(value)


def set_mark(connection: sqlite3.Connection, name: Mark, value: int) -> None:
    """Keep another number under a name."""
    connection.execute("UPDATE marks SET value = ? WHERE name = ?", (value, name))


def manifest_checksum(path: str) -> str:
    """SHA-256 of a bundle's manifest, empty if there is none to be read."""
    try:
        return hashlib.sha256((Path(path) / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""


@dataclass(slots=True)
class _Ordinary:
    """What goes into blocks, by the places of its verdicts, which grow."""

    verdicts: dict[int, bytes] = field(default_factory=dict)
    events: dict[int, bytes] = field(default_factory=dict)

    def add(self, recorded: Recorded, first: int, rows: Sequence[int]) -> None:
        """These rows of a batch whose first has that place."""
        for row in rows:
            self.verdicts[first + row] = recorded.verdicts[row]
        if recorded.events:
            for row in rows:
                self.events[first + row] = recorded.events[row]


@dataclass(slots=True)
class _Lines:
    """The verdicts of a batch as lines of their table, and which rows have more on record."""

    verdicts: list[tuple[Any, ...]] = field(default_factory=list)
    flagged: list[int] = field(default_factory=list)
    notable: list[int] = field(default_factory=list)


class Appender:
    """Remembers which frames and bundles have a number. One thread, one file."""

    def __init__(self, checksum: Callable[[str], str] = manifest_checksum) -> None:
        self._checksum = checksum
        self._bundles: dict[tuple[str, str], int] = {}
        self._frames: dict[tuple[bytes, int], int] = {}

    def append(
        self, connection: sqlite3.Connection, batches: Sequence[Recorded], now_s: float
    ) -> int:
        """Within a transaction; how many verdicts are new. Raises ValueError for what is none."""
        try:
            return self._append(connection, batches, int(now_s))
        except BaseException:
            self._bundles.clear()  # their numbers go with the transaction
            self._frames.clear()
            raise

    def _append(
        self, connection: sqlite3.Connection, batches: Sequence[Recorded], now_s: int
    ) -> int:
        before = place = mark(connection, "place")
        counts = {"ordinary": 0, "flagged": 0, "shadow": 0}
        ordinary = _Ordinary()
        for recorded in batches:
            if recorded.shadow:
                counts["shadow"] += self._add_shadow(connection, recorded, place, now_s)
            else:
                counts["ordinary"] += self._add(connection, recorded, place, now_s, ordinary)
            place += len(recorded.event_ids)
        connection.executemany(_DOCUMENTS, blocks(ordinary.verdicts))
        events.add(connection, ordinary.events, now_s)
        (flagged,) = connection.execute(
            "SELECT count(*) FROM verdicts WHERE severity > 0 AND place > ?", (before,)
        ).fetchone()
        counts["flagged"] = flagged
        counts["ordinary"] -= flagged
        set_mark(connection, "place", place)
        connection.executemany(
            "UPDATE marks SET value = value + ? WHERE name = ?",
            [(count, name) for name, count in counts.items() if count],
        )
        return sum(counts.values())

    def _add(
        self,
        connection: sqlite3.Connection,
        recorded: Recorded,
        place: int,
        now_s: int,
        ordinary: _Ordinary,
    ) -> int:
        """The verdicts and events of what is new and ordinary go into ``ordinary``."""
        first = place + 1
        lines = self._lines(connection, recorded, first, now_s)
        added = connection.executemany(_VERDICT, lines.verdicts).rowcount
        new: Sequence[int] = range(len(lines.verdicts))
        if added != len(lines.verdicts):
            span = (first, place + len(lines.verdicts))
            new = [at - first for (at,) in connection.execute(_PLACES, span)]
        fresh = set(new)
        notable = fresh.intersection(lines.notable)
        connection.executemany(_EVIDENCE, [_evidence(recorded, first, row) for row in notable])
        flagged = fresh.intersection(lines.flagged)
        ordinary.add(recorded, first, [row for row in new if row not in flagged])
        if recorded.events:
            events.add_flagged(connection, {first + row: recorded.events[row] for row in flagged})
        return added

    def _lines(
        self, connection: sqlite3.Connection, recorded: Recorded, first: int, now_s: int
    ) -> _Lines:
        bundle = self._bundle(connection, recorded)
        ordinary: _Rest = (self._frame(connection, PLAIN, bundle), 0, "", bytearray(IN_BLOCK))
        lines, stamps = _Lines(), _stamps(recorded)
        for row, (event_id, verdict) in enumerate(_each(recorded)):
            told, rest = gist(event_id, verdict), ordinary
            packed = pack(event_id, verdict) if told.is_anomaly else None
            if packed is not None and packed.severity:
                frame = self._frame(connection, packed.frame, bundle)
                rest = (frame, packed.severity, packed.reason or "", packed.document)
                lines.flagged.append(row)
            if rest is not ordinary or told.score >= NOTABLE_SCORE:
                lines.notable.append(row)
            lines.verdicts.append((
                first + row, event_id, stamps[row], now_s, told.user_id, recorded.addresses[row],
                *rest,
            ))  # fmt: skip
        return lines

    def _add_shadow(
        self, connection: sqlite3.Connection, recorded: Recorded, place: int, now_s: int
    ) -> int:
        bundle = self._bundle(connection, recorded)
        stamps = _stamps(recorded)
        rows = []
        for row, (event_id, verdict) in enumerate(_each(recorded), 1):
            packed = pack(event_id, verdict)
            rows.append((place + row, event_id, bundle, stamps[row - 1], now_s, packed.severity,
                         packed.reason))  # fmt: skip
        return connection.executemany(_SHADOW, rows).rowcount

    def _bundle(self, connection: sqlite3.Connection, recorded: Recorded) -> int:
        known = self._bundles.get((recorded.version, recorded.path))
        if known is None:
            row = (recorded.version, self._checksum(recorded.path), recorded.path)
            (known,) = connection.execute(_BUNDLE, row).fetchone()
            self._bundles[recorded.version, recorded.path] = known
        return known

    def _frame(self, connection: sqlite3.Connection, frame: bytes, bundle: int) -> int:
        known = self._frames.get((frame, bundle))
        if known is None:
            (known,) = connection.execute(_FRAME, (frame, bundle)).fetchone()
            self._frames[frame, bundle] = known
        return known


def _evidence(recorded: Recorded, first: int, row: int) -> tuple[Any, ...]:
    width = 4 * recorded.columns
    return (
        first + row, recorded.columns, recorded.values[row * width : (row + 1) * width],
        recorded.evidence.get(row), recorded.traces.get(row),
    )  # fmt: skip


def _each(recorded: Recorded) -> Iterator[tuple[str, bytes]]:
    return zip(recorded.event_ids, recorded.verdicts, strict=True)


def _stamps(recorded: Recorded) -> list[float]:
    stamps: list[float] = np.frombuffer(recorded.stamps, np.float64).tolist()
    return stamps
