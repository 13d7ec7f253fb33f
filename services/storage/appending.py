"""Verdicts into their tables, in whole batches."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.manifest import MANIFEST
from services.storage import events
from services.storage.packing import NOTABLE_SCORE, Packed, pack
from services.wire import Recorded

_VERDICT = "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EVIDENCE = "INSERT INTO evidence SELECT ?1, ?2, ?3, ?4, ?5"
# An event that was there before keeps what is beside its own verdict.
_OF_A_VERDICT = " WHERE EXISTS (SELECT 1 FROM verdicts WHERE place = ?1)"
_PLACES = "SELECT place FROM verdicts WHERE place BETWEEN ? AND ?"
_SEVERITY = 7
"""Column of a verdict."""
_SHADOW = "INSERT OR IGNORE INTO shadow VALUES (?, ?, ?, ?, ?, ?, ?)"
_BUNDLE = """
    INSERT INTO bundles (version, manifest, path) VALUES (?, ?, ?)
    ON CONFLICT (version, manifest) DO UPDATE SET path = excluded.path RETURNING bundle
"""
_FRAME = """
    INSERT INTO frames (document, bundle) VALUES (?, ?)
    ON CONFLICT (document, bundle) DO UPDATE SET bundle = excluded.bundle RETURNING frame
"""

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
        ordinary: dict[int, bytes] = {}
        for recorded in batches:
            if recorded.shadow:
                counts["shadow"] += self._add_shadow(connection, recorded, place, now_s)
            else:
                counts["ordinary"] += self._add(connection, recorded, place, now_s, ordinary)
            place += len(recorded.event_ids)
        events.add(connection, ordinary, now_s)
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
        ordinary: dict[int, bytes],
    ) -> int:
        """The events of ordinary verdicts go into ``ordinary``."""
        bundle = self._bundle(connection, recorded)
        stamps, width = _stamps(recorded), 4 * recorded.columns
        verdicts, evidence = [], []
        for row, (event_id, packed) in enumerate(_packed(recorded)):
            place += 1
            frame = self._frame(connection, packed.frame, bundle)
            verdicts.append((
                place, event_id, stamps[row], now_s, packed.user_id, recorded.addresses[row],
                frame, packed.severity, packed.reason, packed.document,
            ))  # fmt: skip
            if packed.severity or packed.score >= NOTABLE_SCORE:
                evidence.append((
                    place, recorded.columns, recorded.values[row * width : (row + 1) * width],
                    recorded.evidence.get(row), recorded.traces.get(row),
                ))  # fmt: skip
        added = connection.executemany(_VERDICT, verdicts).rowcount
        only = "" if added == len(verdicts) else _OF_A_VERDICT
        connection.executemany(_EVIDENCE + only, evidence)
        events.add_flagged(connection, _beside(connection, recorded, verdicts, added, ordinary))
        return added

    def _add_shadow(
        self, connection: sqlite3.Connection, recorded: Recorded, place: int, now_s: int
    ) -> int:
        bundle = self._bundle(connection, recorded)
        stamps = _stamps(recorded)
        rows = [
            (place + row + 1, event_id, bundle, stamps[row], now_s, packed.severity, packed.reason)
            for row, (event_id, packed) in enumerate(_packed(recorded))
        ]
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


def _beside(
    connection: sqlite3.Connection,
    recorded: Recorded,
    verdicts: Sequence[tuple[Any, ...]],
    added: int,
    ordinary: dict[int, bytes],
) -> dict[int, bytes]:
    """The events of new verdicts over the threshold; those of others go into ``ordinary``."""
    flagged: dict[int, bytes] = {}
    if not recorded.events:
        return flagged
    new = None
    if added != len(verdicts):
        span = (verdicts[0][0], verdicts[-1][0])
        new = {place for (place,) in connection.execute(_PLACES, span)}
    for row, event in zip(verdicts, recorded.events, strict=True):
        if new is None or row[0] in new:
            (flagged if row[_SEVERITY] else ordinary)[row[0]] = event
    return flagged


def _packed(recorded: Recorded) -> list[tuple[str, Packed]]:
    return [
        (event_id, pack(event_id, verdict))
        for event_id, verdict in zip(recorded.event_ids, recorded.verdicts, strict=True)
    ]


def _stamps(recorded: Recorded) -> list[float]:
    stamps: list[float] = np.frombuffer(recorded.stamps, np.float64).tolist()
    return stamps
