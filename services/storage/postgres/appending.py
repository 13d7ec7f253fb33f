"""Verdicts into their tables, by binary COPY.

What is guaranteed: an event with the same id and stamp is kept once, however often and on whatever
day it arrives, for as long as its verdict is kept. An id that comes back with another stamp is
recognised on the day it was recorded, and on every day whose events lie around that stamp; else it
is kept beside the first, and questions are answered with the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, NamedTuple

import asyncpg
import numpy as np

from services.storage.appending import manifest_checksum
from services.storage.packing import NOTABLE_SCORE, pack
from services.storage.postgres import days, events
from services.storage.postgres.database import Connection
from services.wire import Recorded

BUNDLE = """
    INSERT INTO bundles (version, manifest, path) VALUES ($1, $2, $3)
    ON CONFLICT (version, manifest) DO UPDATE SET path = excluded.path RETURNING bundle
"""
FRAME = """
    INSERT INTO frames (document, bundle) VALUES ($1, $2)
    ON CONFLICT (document, bundle) DO UPDATE SET bundle = excluded.bundle RETURNING frame
"""
_ON_DAY = "SELECT event_id FROM verdicts WHERE event_id = ANY($1) AND day = $2"
_IN_FLAGGED = "SELECT event_id FROM flagged WHERE event_id = ANY($1)"
_IN_SHADOW = "SELECT event_id, bundle FROM shadow WHERE event_id = ANY($1)"
_MARK = "UPDATE marks SET value = value + $2 WHERE name = $1 RETURNING value"


class Row(NamedTuple):
    """A verdict with all that is kept of it; the fields are columns."""

    place: int
    stamp: float
    recorded: float
    frame: int
    severity: int
    event_id: str
    user_id: str
    address: str
    reason: str | None
    document: bytes | None
    features: bytes | None
    baseline: bytes | None
    event: bytes | None
    traceparent: str | None


class Shadow(NamedTuple):
    """A verdict nobody was answered with."""

    place: int
    stamp: float
    recorded: float
    bundle: int
    severity: int
    event_id: str
    reason: str | None


_VERDICT = (*Row._fields[:12], "day")


class Appender:
    """Remembers which frames and bundles have a number."""

    def __init__(self, checksum: Callable[[str], str] = manifest_checksum) -> None:
        self._checksum = checksum
        self._bundles: dict[tuple[str, str], int] = {}
        self._frames: dict[tuple[bytes, int], int] = {}

    def forget(self) -> None:
        """What was known may not be so: another server, or a transaction that came to nothing."""
        self._bundles.clear()
        self._frames.clear()

    async def append(
        self, connection: Connection, batches: Sequence[Recorded], now_s: float
    ) -> int:
        """Within a transaction; how many verdicts are new. Raises ValueError for what is none."""
        try:
            return await self._append(connection, batches, now_s)
        except BaseException:
            self.forget()
            raise

    async def _append(
        self, connection: Connection, batches: Sequence[Recorded], now_s: float
    ) -> int:
        total = sum(len(batch.event_ids) for batch in batches)
        # Who else would write waits here, so that places are given in the order of commits.
        place = int(await connection.fetchval(_MARK, "place", total)) - total
        rows: list[Row] = []
        shadow: list[Shadow] = []
        for batch in batches:
            bundle = await self._bundle(connection, batch)
            if batch.shadow:
                shadow += _shadow(batch, bundle, place, now_s)
            else:
                rows += await self._rows(connection, batch, bundle, place, now_s)
            place += len(batch.event_ids)
        return await keep(connection, rows, now_s) + await keep_shadow(connection, shadow)

    async def _rows(
        self, connection: Connection, batch: Recorded, bundle: int, place: int, now_s: float
    ) -> list[Row]:
        stamps, width = _stamps(batch), 4 * batch.columns
        rows = []
        for row, (event_id, verdict) in enumerate(
            zip(batch.event_ids, batch.verdicts, strict=True)
        ):
            packed = pack(event_id, verdict)
            frame = self._frames.get((packed.frame, bundle))
            if frame is None:
                frame = await self._frame(connection, packed.frame, bundle)
            notable = packed.severity or packed.score >= NOTABLE_SCORE
            rows.append(Row(
                place + row + 1, stamps[row], now_s, frame, packed.severity, event_id,
                packed.user_id, batch.addresses[row], packed.reason, packed.document,
                batch.values[row * width : (row + 1) * width] if notable else None,
                batch.evidence.get(row) if notable else None,
                batch.events[row] if batch.events else None,
                batch.traces.get(row),
            ))  # fmt: skip
        return rows

    async def _bundle(self, connection: Connection, batch: Recorded) -> int:
        known = self._bundles.get((batch.version, batch.path))
        if known is None:
            row = (batch.version, self._checksum(batch.path), batch.path)
            known = int(await connection.fetchval(BUNDLE, *row))
            self._bundles[batch.version, batch.path] = known
        return known

    async def _frame(self, connection: Connection, document: bytes, bundle: int) -> int:
        frame = int(await connection.fetchval(FRAME, document, bundle))
        self._frames[document, bundle] = frame
        return frame


async def keep(connection: Connection, rows: list[Row], now_s: float) -> int:
    """Answered verdicts, but those of events that are kept already; how many are new."""
    if not rows:
        return 0
    today = days.day_of(now_s)
    known = await days.made(connection, await days.known(connection), today)
    first = {row.event_id: row for row in reversed(rows)}  # of one event: the first in the call
    for event_id in await _kept_elsewhere(connection, known, list(first.values()), today):
        del first[event_id]
    rows = await _add(connection, sorted(first.values()), today)
    flagged = [row for row in rows if row.severity]
    await _copy(connection, "flagged", Row._fields, flagged)
    await connection.execute(_MARK, "flagged", len(flagged))
    came = [
        (row.stamp, row.place, row.event)
        for row in rows
        if not row.severity and row.event is not None
    ]
    await events.add(connection, today, came)
    if rows:
        stamps = np.array([row.stamp for row in rows])
        added = (len(rows) - len(flagged), len(came))
        await days.count(connection, today, added, stamps, now_s)
    return len(rows)


async def _kept_elsewhere(
    connection: Connection, known: days.Days, rows: list[Row], today: date
) -> set[str]:
    """Which of these events have a verdict that is not of today."""
    flagged = [row.event_id for row in rows if row.severity]
    asked: list[tuple[str, tuple[Any, ...]]] = [(_IN_FLAGGED, (flagged,))] if flagged else []
    for day, at in known.among(np.array([row.stamp for row in rows]), today):
        ids = [rows[index].event_id for index in at]
        asked.append((_IN_FLAGGED, (ids,)) if day is None else (_ON_DAY, (ids, day)))
    return {row[0] for sql, values in asked for row in await connection.fetch(sql, *values)}


async def _add(connection: Connection, rows: list[Row], today: date) -> list[Row]:
    """Verdicts among those of today; which were new."""
    try:
        async with connection.transaction():
            await _copy(connection, "verdicts", _VERDICT, [_of_day(row, today) for row in rows])
    except asyncpg.UniqueViolationError:  # seldom: asking first would cost every call
        found = await connection.fetch(_ON_DAY, [row.event_id for row in rows], today)
        there = {row[0] for row in found}
        rows = [row for row in rows if row.event_id not in there]
        await _copy(connection, "verdicts", _VERDICT, [_of_day(row, today) for row in rows])
    return rows


def _of_day(row: Row, day: date) -> tuple[Any, ...]:
    """What is among the verdicts of a day: of a flagged one what it is counted and known by."""
    return (*row[:9], None, None, None, day) if row.severity else (*row[:12], day)


async def keep_shadow(connection: Connection, rows: list[Shadow]) -> int:
    """Verdicts of shadow versions; how many are new."""
    first = {(row.event_id, row.bundle): row for row in reversed(rows)}
    rows = sorted(first.values())
    try:
        async with connection.transaction():
            await _copy(connection, "shadow", Shadow._fields, rows)
    except asyncpg.UniqueViolationError:
        found = await connection.fetch(_IN_SHADOW, [row.event_id for row in rows])
        there = {tuple(row) for row in found}
        rows = [row for row in rows if (row.event_id, row.bundle) not in there]
        await _copy(connection, "shadow", Shadow._fields, rows)
    if rows:
        await connection.execute(_MARK, "shadow", len(rows))
    return len(rows)


def _shadow(batch: Recorded, bundle: int, place: int, now_s: float) -> list[Shadow]:
    stamps = _stamps(batch)
    rows = []
    for row, (event_id, verdict) in enumerate(zip(batch.event_ids, batch.verdicts, strict=True)):
        packed = pack(event_id, verdict)
        rows.append(Shadow(place + row + 1, stamps[row], now_s, bundle, packed.severity, event_id,
                            packed.reason))  # fmt: skip
    return rows


async def _copy(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    if rows:
        await connection.copy_records_to_table(table, columns=columns, records=rows)


def _stamps(batch: Recorded) -> list[float]:
    stamps: list[float] = np.frombuffer(batch.stamps, np.float64).tolist()
    return stamps
