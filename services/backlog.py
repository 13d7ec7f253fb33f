"""``Backlog``: verdicts go into the store; while it is away onto the disk, and from there into it.

One order for all of them: as long as something waits on the disk, what comes is put behind it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from services.intake import MOST_TOGETHER
from services.recorder_metrics import RecorderMetrics
from services.storage.errors import StoreError
from services.storage.spool import Spool
from services.wire import Recorded

LOG = logging.getLogger("ztad.recorder")

P = ParamSpec("P")
T = TypeVar("T")

#: A store that takes longer for a transaction counts as away, seconds: less than a gateway waits
#: for the Recorder. What it commits after all is no harm, the first verdict of an event stays.
STORE_PATIENCE_S = 3.0
#: What is not forced to the disk with every call is so this often, seconds.
SYNC_EVERY_S = 1.0
#: Pauses between attempts at a store that is away, seconds: the first, and the longest.
LEAST_PAUSE_S = 0.2
MOST_PAUSE_S = 5.0

Write = Callable[[Sequence[Recorded]], Awaitable[None]]
Spooled = Callable[[Sequence[Recorded]], None]


class Backlog:
    """A spool in front of ``write``, which raises :class:`StoreError` while the store is away.

    ``spooled`` is told what was put on the disk instead. One event loop; :meth:`run` and
    :meth:`sync` have to run beside it.
    """

    def __init__(self, spool: Spool, write: Write, spooled: Spooled) -> None:
        self._spool = spool
        self._write = write
        self._spooled = spooled
        self._thread = ThreadPoolExecutor(1, "ztad-spool")
        self._turn = asyncio.Lock()
        self._filled = asyncio.Event()
        if spool.segments:
            LOG.warning("%d verdicts wait on the disk for the store", spool.verdicts)
            self._filled.set()
        self.away = False
        """Whether the last attempt at the store failed."""
        self.drained = 0
        self.damaged = 0
        """Verdicts that the store refused for good when they were drained."""

    async def append(self, batches: Sequence[Recorded]) -> None:
        """Have the verdicts in the store, or on the disk behind those that wait there.

        Raises :class:`StoreError` when neither can be, and what ``write`` raises of what can never
        be stored.
        """
        async with self._turn:
            if not self._filled.is_set() and await self._stored(batches):
                return
            await self._off_loop(self._spool.append, batches)
            self._spooled(batches)
            if not self._filled.is_set():
                LOG.error("the store is away: verdicts wait on the disk")
                self._filled.set()

    async def find(self, event_ids: Sequence[str]) -> dict[str, Recorded]:
        """See :meth:`Spool.find`."""
        if not self._spool.segments:
            return {}
        return await self._off_loop(self._spool.find, event_ids)

    async def run(self) -> None:
        """Drain what waits, until cancelled."""
        pause_s = LEAST_PAUSE_S
        while True:
            await self._filled.wait()
            try:
                await self._drain()
                pause_s = LEAST_PAUSE_S
            except (StoreError, TimeoutError):  # told by whoever writes
                self.away = True
                await asyncio.sleep(pause_s)
                pause_s = min(MOST_PAUSE_S, 2 * pause_s)

    async def sync(self) -> None:
        """Force what waits to the disk now and then, until cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(SYNC_EVERY_S)
            try:
                await self._off_loop(self._spool.sync)
            except OSError:
                LOG.exception("verdicts that wait cannot be forced to the disk")

    def tell(self, metrics: RecorderMetrics) -> None:
        """How much waits, and what became of it."""
        spool = self._spool
        metrics.spooled(spool.size_bytes, spool.verdicts, spool.since_s, time.time())
        metrics.drained.inc(self.drained)
        metrics.damaged.inc(spool.damaged + self.damaged)
        self.drained = self.damaged = spool.damaged = 0

    def close(self) -> None:
        """Let what is under way finish; nothing may be called after it."""
        self._thread.shutdown()
        self._spool.close()

    async def _stored(self, batches: Sequence[Recorded]) -> bool:
        """Whether the store took them in time."""
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                await self._write(batches)
        except StoreError:
            self.away = True
            return False
        except TimeoutError:
            LOG.warning("the store takes longer than %g s", STORE_PATIENCE_S)
            self.away = True
            return False
        self.away = False
        return True

    async def _drain(self) -> None:
        """One segment. Of a store that is there the last one has its turn alone: else there would
        always be something behind it."""
        if self.away or self._spool.segments > 1:
            await self._drain_oldest()
        elif self._spool.segments:
            async with self._turn, asyncio.timeout(STORE_PATIENCE_S):
                await self._drain_oldest()
        if not self._spool.segments:
            self._filled.clear()
            LOG.warning("the store has everything that waited on the disk")

    async def _drain_oldest(self) -> None:
        for group in _grouped(await self._off_loop(self._spool.oldest)):
            await self._drain_group(group)
        self.away = False
        self.drained += await self._off_loop(self._spool.drop_oldest)

    async def _drain_group(self, batches: Sequence[Recorded]) -> None:
        """What can never be stored does not keep the rest from it: it was confirmed already, so
        all that can be done is to tell."""
        try:
            await self._write(batches)
        except StoreError:
            raise
        except Exception:
            if len(batches) == 1:
                LOG.exception("verdicts cannot be recorded")
                self.damaged += 1
                return
            for batch in batches:
                await self._drain_group([batch])

    async def _off_loop(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: do(*args, **kwargs))


def _grouped(batches: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    """What goes into one transaction each."""
    group: list[Recorded] = []
    events = 0
    for batch in batches:
        if group and events + len(batch.event_ids) > MOST_TOGETHER:
            yield group
            group, events = [], 0
        group.append(batch)
        events += len(batch.event_ids)
    if group:
        yield group
