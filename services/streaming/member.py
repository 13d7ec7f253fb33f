"""One member of a consumer group: a source in a thread of its own, and how far it has come.

Kafka calls back in the thread that polls, and whoever is called may not return before the
partitions can go: so the loop is asked from there, and goes on with everything else meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from services.streaming.args import StreamArgs
from services.streaming.base import Broker, Message, NotCommitted, Partition, Position, Source
from services.streaming.counts import Counts
from services.streaming.progress import Progress

LOG = logging.getLogger("ztad.stream")

T = TypeVar("T")

#: Positions are committed at most so often, seconds.
COMMIT_S = 0.2

Settle = Callable[[Collection[Partition]], Awaitable[None]]
"""Ends what is under way of partitions, as far as it can in time, and begins no more of them."""


class Member:
    """Reads and commits. ``settle`` is called before partitions go to somebody else. Everything but
    ``assigned``, ``revoked`` and ``lost`` is for the event loop."""

    def __init__(self, counts: Counts, settle: Settle) -> None:
        self.progress = Progress()
        self.paused = False
        self.lag: dict[Partition, int] = {}
        self._counts = counts
        self._settle = settle
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ztad-stream")
        self._loop = asyncio.get_running_loop()
        self._source: Source | None = None
        self._committed_at = 0.0

    async def join(self, broker: Broker, args: StreamArgs) -> None:
        """Become one; raises ``StreamError``."""
        self._source = await self._run(lambda: broker.source([args.events], args.group, self))

    async def poll(self, most: int, timeout_s: float) -> list[Message]:
        """As ``Source.poll``; then what is ready is committed."""
        messages = await self._run(lambda: self._joined.poll(most, timeout_s))
        self._counts.consumed += len(messages)
        now_s = time.monotonic()
        if now_s - self._committed_at >= COMMIT_S:
            self._committed_at = now_s
            await self._commit()
            ends = await self._run(lambda: dict(self._joined.ends()))
            self.lag = self.progress.lag(ends)
        return messages

    async def pause(self) -> None:
        """As ``Source.pause``."""
        self.paused = True
        await self._run(self._joined.pause)

    async def resume(self) -> None:
        """As ``Source.resume``."""
        self.paused = False
        await self._run(self._joined.resume)

    async def leave(self) -> None:
        """Give everything back, once it is settled; safe without having joined."""
        if self._source is not None:
            await self._run(self._source.close)
            self._source = None
        self._thread.shutdown(wait=False)

    def assigned(self, partitions: Collection[Partition]) -> None:
        LOG.info("partitions assigned: %s", _named(partitions))
        self._counts.rebalances["assigned"] += 1

    def revoked(self, partitions: Collection[Partition]) -> None:
        LOG.info("partitions revoked: %s", _named(partitions))
        self._counts.rebalances["revoked"] += 1
        positions = self._asked(self._settled(partitions))
        try:
            if positions:
                self._joined.commit(positions)
        except NotCommitted as error:
            LOG.warning("%s; their next owner reads some messages again", error)
        finally:
            self._asked(self._forget(partitions))

    def lost(self, partitions: Collection[Partition]) -> None:
        LOG.warning("partitions lost: %s", _named(partitions))
        self._counts.rebalances["lost"] += 1
        self._asked(self._settled(partitions))
        self._asked(self._forget(partitions))

    @property
    def _joined(self) -> Source:
        if self._source is None:
            raise RuntimeError("the member has not joined its group")
        return self._source

    async def _commit(self) -> None:
        positions = self.progress.ready()
        if not positions:
            return
        started = time.perf_counter()
        try:
            await self._run(lambda: self._joined.commit(positions))
        except NotCommitted as error:  # while partitions move; the next attempt has them all
            LOG.warning("%s", error)
            self._counts.not_committed += 1
            return
        self.progress.committed(positions)
        self._counts.commits += 1
        self._counts.commit_s += time.perf_counter() - started

    async def _settled(self, partitions: Collection[Partition]) -> list[Position]:
        await self._settle(partitions)
        return self.progress.ready(partitions)

    async def _forget(self, partitions: Collection[Partition]) -> None:
        self.progress.forget(partitions)
        for at in partitions:
            self.lag.pop(at, None)

    def _asked(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer of the loop to the thread that polls."""
        return asyncio.run_coroutine_threadsafe(question, self._loop).result()

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._thread, work)


def _named(partitions: Collection[Partition]) -> str:
    return ", ".join(f"{at.topic}:{at.number}" for at in sorted(partitions))
