"""What is beyond the limits goes, a few verdicts at a time, the least important first."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Literal

from services.storage.appending import mark
from services.storage.base import Limits
from services.storage.blocks import MOST_IN_BLOCK

DAY_S = 86400.0
#: Pages given back to the disk in one step: 2 MiB, which takes some 20 ms.
VACUUM_PAGES = 512

Kind = Literal["shadow", "events", "ordinary", "flagged"]
"""What goes of itself; "events" are blocks of those of ordinary verdicts, which stay."""

_SHADOW = "SELECT place, recorded FROM shadow WHERE place > ? ORDER BY place"
_EVENTS = "SELECT place, recorded FROM events WHERE place > ? ORDER BY place"
_ORDINARY = """
    SELECT place, recorded FROM verdicts NOT INDEXED
    WHERE place > ? AND severity = 0 ORDER BY place
"""
_FLAGGED = """
    SELECT place, recorded FROM verdicts INDEXED BY flagged_by_place
    WHERE place > ? AND severity > 0 ORDER BY place
"""
_OLDEST: dict[Kind, str] = {
    "shadow": _SHADOW,
    "events": _EVENTS,
    "ordinary": _ORDINARY,
    "flagged": _FLAGGED,
}
_TABLES: dict[Kind, tuple[str, ...]] = {
    "shadow": ("shadow",),
    "events": ("events",),
    "ordinary": ("verdicts", "evidence"),
    "flagged": ("verdicts", "evidence", "flagged_events"),
}


class Trimmer:
    """Takes steps towards the limits; ``most_pages`` is what may be in use. One thread, one file.

    It remembers where each kind begins, so that what outlasts the others is not read every time.
    """

    def __init__(self, limits: Limits, most_pages: int) -> None:
        self._limits = limits
        self._most_pages = most_pages
        self._begin: dict[Kind, int] = dict.fromkeys(_OLDEST, 0)

    def trim(self, connection: sqlite3.Connection, now_s: float, most: int) -> int:
        """Within a transaction: remove at most so many of all kinds together; how many went."""
        limits = self._limits
        shadow, ordinary, flagged = (
            mark(connection, kind) for kind in ("shadow", "ordinary", "flagged")
        )
        before_s = now_s - limits.most_days * DAY_S
        gone = self._remove(connection, "shadow", shadow - limits.most_shadow, before_s, most)
        over = ordinary - (ordinary if limits.most_verdicts is None else limits.most_verdicts)
        gone += self._remove(connection, "ordinary", over, before_s, most - gone)
        before_s = now_s - limits.most_event_days * DAY_S
        gone += self._remove(connection, "events", 0, before_s, _blocks(most - gone))
        gone += _forget(connection, "feedback", now_s, limits.most_feedback_days, most - gone)
        gone += _forget(connection, "audit", now_s, limits.most_audit_days, most - gone)
        before_s = now_s - limits.most_alert_days * DAY_S
        gone += self._remove(connection, "flagged", 0, before_s, most - gone)
        if gone == 0 and _pages(connection, "page_count", "freelist_count") > self._most_pages:
            gone = self._make_room(connection, most, shadow, ordinary, flagged)
        self._give_back(connection)
        return gone

    def _make_room(
        self, connection: sqlite3.Connection, most: int, shadow: int, ordinary: int, flagged: int
    ) -> int:
        steps: tuple[tuple[Kind, int], ...] = (
            ("shadow", shadow),
            ("ordinary", ordinary - self._limits.least_verdicts),
            ("events", _blocks(most)),
            ("flagged", flagged),
            ("ordinary", ordinary),
        )
        for kind, removable in steps:
            gone = self._remove(connection, kind, removable, 0.0, most)
            if gone:
                return gone
        return 0

    def _remove(
        self, connection: sqlite3.Connection, kind: Kind, beyond: int, before_s: float, most: int
    ) -> int:
        """The oldest of a kind: ``beyond`` of them, and what was recorded before a time."""
        places: list[tuple[int]] = []
        with closing(connection.execute(_OLDEST[kind], (self._begin[kind],))) as oldest:
            for place, recorded_s in oldest:
                if not places:
                    self._begin[kind] = place - 1
                if len(places) == most or (len(places) >= beyond and recorded_s >= before_s):
                    break
                places.append((place,))
        for table in _TABLES[kind]:
            connection.executemany(f"DELETE FROM {table} WHERE place = ?", places)
        if kind == "ordinary" and places:  # and all before; those over the threshold have their own
            for table in ("events", "documents"):
                connection.execute(f"DELETE FROM {table} WHERE place <= ?", places[-1])
        change = (len(places), kind)
        connection.execute("UPDATE marks SET value = value - ? WHERE name = ?", change)
        return len(places)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        """A file larger than it may be shrinks; otherwise free pages are used again."""
        if _pages(connection, "page_count") > self._most_pages:
            connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()


def _blocks(events: int) -> int:
    """So many blocks hold about so many events."""
    return -(-events // MOST_IN_BLOCK)


def _forget(
    connection: sqlite3.Connection, table: str, now_s: float, days: float, most: int
) -> int:
    """The oldest of what was said or done; its serials are microseconds since the epoch."""
    before = int((now_s - days * DAY_S) * 1e6)
    oldest = f"SELECT serial FROM {table} WHERE serial < ? ORDER BY serial LIMIT ?"
    return connection.execute(
        f"DELETE FROM {table} WHERE serial IN ({oldest})", (before, most)
    ).rowcount


def _pages(connection: sqlite3.Connection, whole: str, without: str | None = None) -> int:
    (pages,) = connection.execute(f"PRAGMA {whole}").fetchone()
    if without is not None:
        pages -= connection.execute(f"PRAGMA {without}").fetchone()[0]
    return int(pages)
