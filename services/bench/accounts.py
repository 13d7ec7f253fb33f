"""What became of every event that was sent: scored, stored, dead-lettered, or twice on record."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.bench.outcome import Latency, latency
from services.bench.topics import Topics, event_id
from services.storage.opening import VERDICTS_FILE_NAME
from services.storage.postgres.address import is_postgres

# Of what is flagged, ``verdicts`` of a PostgreSQL has the id alone beside ``flagged``.
_POSTGRES = """
    SELECT event_id FROM verdicts WHERE severity = 0 UNION ALL SELECT event_id FROM flagged
"""
_SQLITE = "SELECT event_id FROM verdicts"


class Account(msgspec.Struct, frozen=True):
    """Of ``sent`` different messages; ``published`` verdicts can be more than ``scored`` events,
    since topics are written at least once."""

    sent: int
    scored: int
    published: int
    stored: int
    dead: int
    duplicated: int

    @property
    def lost(self) -> int:
        """Neither stored nor a dead letter."""
        return self.sent - self.stored - self.dead

    @property
    def fits(self) -> bool:
        """Whether every message is in exactly one place."""
        return self.lost == 0 and self.duplicated == 0


class Times(msgspec.Struct, frozen=True):
    """When events were sent and their verdicts, which are on record by then, were published; ms
    since the epoch, by the time of sending."""

    sent_ms: NDArray[np.int64]
    done_ms: NDArray[np.int64]

    @property
    def events_per_s(self) -> float:
        """From the first verdict to the last."""
        span_ms = int(self.done_ms.max() - self.done_ms.min())
        return len(self.done_ms) / max(1, span_ms) * 1000

    @property
    def lag(self) -> Latency:
        return latency(((self.done_ms - self.sent_ms) / 1000).tolist())


def account(topics: Topics, store: str) -> Account:
    """Count everything, once the group is through. ``store`` as ``open_store`` takes it."""
    verdicts = [event_id(message.value) for message in topics.verdicts()]
    rows = stored_ids(store)
    different = set(rows)
    return Account(
        sent=len({message.value for message in topics.sent()}),
        scored=len(set(verdicts)),
        published=len(verdicts),
        stored=len(different),
        dead=topics.dead_letters(),
        duplicated=len(rows) - len(different),
    )


def stored_ids(store: str) -> list[str]:
    """The event id of every verdict on record."""
    if is_postgres(store):
        return asyncio.run(_postgres_ids(store))
    file = Path(store) / VERDICTS_FILE_NAME
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(_SQLITE)]


async def _postgres_ids(store: str) -> list[str]:
    import asyncpg

    connection = await asyncpg.connect(store)
    try:
        return [row[0] for row in await connection.fetch(_POSTGRES)]
    finally:
        await connection.close()


def times(topics: Topics, ids: Iterable[str] | None = None) -> Times:
    """Of these events, or of all; those without a verdict are left out."""
    wanted = None if ids is None else set(ids)
    done: dict[str, int] = {}
    for message in topics.verdicts():
        done.setdefault(event_id(message.value), message.timestamp_ms)
    found = [
        (message.timestamp_ms, done[each])
        for message in topics.sent()
        if (each := event_id(message.value)) in done and (wanted is None or each in wanted)
    ]
    both = np.array(sorted(found), np.int64).reshape(-1, 2)
    return Times(both[:, 0], both[:, 1])
