"""``SqliteStore``: the verdict store in one SQLite file, or in memory; follows ``base.Store``."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from preprocessing.feedback import Disposition
from services.storage import auditing, comparing, events, ledger, opinions
from services.storage.appending import Appender, mark, set_mark
from services.storage.base import (
    AuditLine,
    Comparison,
    Disagreement,
    EventPage,
    Kept,
    Limits,
    Opinion,
    Page,
    RoutingEntry,
    Size,
    Tail,
    VerdictQuery,
)
from services.storage.migrations.chain import VERDICTS
from services.storage.reading import Verdicts
from services.storage.sqlite import CHECKPOINT_BYTES, PAGE_BYTES, Database
from services.storage.trimming import Trimmer
from services.wire import Recorded

#: A million events of a shadow version take about 5 s.
COMPARE_S = 30.0


class SqliteStore:
    """Verdicts in ``path``, or in memory when it is None.

    The log beside the file counts towards ``limits.most_bytes``: the file itself may have a quarter
    less, at most :data:`CHECKPOINT_BYTES` twice. Raises
    :class:`services.storage.errors.StoreError`.
    """

    def __init__(self, path: Path | None, limits: Limits, *, durable: bool = False) -> None:
        self._database = Database(path, VERDICTS, durable=durable)
        reserve = min(2 * CHECKPOINT_BYTES, limits.most_bytes // 4) if path else 0
        self._appender = Appender()
        self._verdicts = Verdicts()
        self._trimmer = Trimmer(limits, (limits.most_bytes - reserve) // PAGE_BYTES)

    async def append(self, batches: Sequence[Recorded], now_s: float) -> int:
        return await self._database.write(lambda to: self._appender.append(to, batches, now_s))

    async def first(self, event_ids: Sequence[str]) -> dict[str, bytes]:
        return await self._database.read(lambda of: self._verdicts.first(of, event_ids))

    async def get(self, event_id: str) -> Kept | None:
        return await self._database.read(lambda of: self._verdicts.get(of, event_id))

    async def page(self, query: VerdictQuery) -> Page:
        return await self._database.read(lambda of: self._verdicts.page(of, query))

    async def events(
        self, since_s: float, until_s: float, after: tuple[float, int] | None, limit: int
    ) -> EventPage:
        return await self._database.read(lambda of: events.page(of, since_s, until_s, after, limit))

    async def flagged(self, after: int | None, limit: int) -> Tail:
        return await self._database.read(lambda of: self._verdicts.flagged(of, after, limit))

    async def unoffered(self, limit: int) -> tuple[Recorded, int] | None:
        return await self._database.read(lambda of: self._verdicts.unoffered(of, limit))

    async def offered(self, place: int) -> None:
        await self._database.write(lambda to: set_mark(to, "offered", place))

    async def compare(self, version: str, since_s: float) -> Comparison:
        return await self._database.read(
            lambda of: comparing.compare(of, version, since_s), within_s=COMPARE_S
        )

    async def disagreements(self, version: str, since_s: float, limit: int) -> list[Disagreement]:
        return await self._database.read(
            lambda of: comparing.disagreements(of, version, since_s, limit), within_s=COMPARE_S
        )

    async def save_routing(self, document: bytes, by: str, note: str, now_s: float) -> int:
        return await self._database.write(
            lambda to: ledger.save_routing(to, document, by, note, now_s)
        )

    async def routings(self, limit: int) -> list[RoutingEntry]:
        return await self._database.read(lambda of: ledger.routings(of, limit))

    async def say(
        self, event_id: str, disposition: Disposition | None, by: str, comment: str, now_s: float
    ) -> Opinion | None:
        return await self._database.write(
            lambda to: opinions.say(to, event_id, disposition, by, comment, now_s)
        )

    async def opinion(self, serial: int) -> Opinion | None:
        return await self._database.read(lambda of: opinions.opinion(of, serial))

    async def opinions(
        self,
        *,
        user: str | None = None,
        event_id: str | None = None,
        before: int | None = None,
        limit: int,
    ) -> list[Opinion]:
        return await self._database.read(
            lambda of: opinions.opinions(
                of, user=user, event_id=event_id, before=before, limit=limit
            )
        )

    async def opinions_after(self, serial: int, limit: int) -> list[Opinion]:
        return await self._database.read(lambda of: opinions.opinions_after(of, serial, limit))

    async def audit(self, lines: Sequence[AuditLine]) -> None:
        await self._database.write(lambda to: auditing.add(to, lines))

    async def audits(self, before: int | None, limit: int) -> list[AuditLine]:
        return await self._database.read(lambda of: auditing.last(of, before, limit))

    async def trim(self, now_s: float, most: int) -> int:
        return await self._database.write(lambda of: self._trimmer.trim(of, now_s, most))

    async def size(self) -> Size:
        return await self._database.read(self._size)

    def close(self) -> None:
        self._database.close()

    def _size(self, connection: sqlite3.Connection) -> Size:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        oldest = connection.execute("SELECT recorded FROM verdicts ORDER BY place LIMIT 1")
        row = oldest.fetchone()
        return Size(
            ordinary=mark(connection, "ordinary"),
            flagged=mark(connection, "flagged"),
            shadow=mark(connection, "shadow"),
            used_bytes=(pages - free) * PAGE_BYTES,
            file_bytes=self._database.size_bytes() or pages * PAGE_BYTES,
            oldest_s=None if row is None else float(row[0]),
        )
