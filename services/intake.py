"""``Intake``: verdicts that arrive in many calls, written in few transactions.

While one transaction is written the next gathers what arrives: the more there is to do, the fewer
transactions it takes. A call returns once its verdicts are committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.storage.errors import StoreError
from services.wire import Recorded

LOG = logging.getLogger("ztad.recorder")

#: Verdicts in one transaction; a single call may bring more.
MOST_TOGETHER = 20_000
#: Verdicts that may wait for their transaction; further calls wait to be let in.
MOST_WAITING = 100_000
#: How often old verdicts are looked for when nothing arrives, seconds.
TRIM_EVERY_S = 5.0
#: At most so many verdicts go in one step when few arrive: it takes about 20 ms.
LEAST_TRIM = 1000

Append = Callable[[Sequence[Recorded]], Awaitable[object]]
Trim = Callable[[int], Awaitable[int]]
"""Removes at most so many verdicts; returns how many."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    batches: Sequence[Recorded]
    events: int
    written: asyncio.Future[bool]


class Intake:
    """Gathers calls, writes, and removes as much as arrives once the store is full.

    ``append`` raises :class:`StoreError` when nothing can be written now, and anything else for
    what can never be. ``written`` is called after every transaction with the seconds it took.
    """

    def __init__(self, append: Append, trim: Trim, written: Callable[[float], None]) -> None:
        self._append = append
        self._trim = trim
        self._written = written
        self._calls: deque[_Call] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.waiting = 0
        """Verdicts that wait for their transaction."""

    async def take(self, batches: Sequence[Recorded]) -> bool:
        """True once the batches are committed, False if they cannot be stored now.

        Raises what ``append`` raised of them.
        """
        while not self._room.is_set():
            await self._room.wait()
        loop = asyncio.get_running_loop()
        events = sum(len(batch.event_ids) for batch in batches)
        call = _Call(batches, events, loop.create_future())
        self._calls.append(call)
        self._count(events)
        self._arrived.set()
        return await call.written

    async def run(self) -> None:
        """Write and trim until cancelled."""
        gone = 0
        while True:
            if not gone:
                await self._until_arrival()
            calls = self._together()
            if calls:
                await self._write(calls)
            gone = await self._trimmed(sum(call.events for call in calls))

    async def _until_arrival(self) -> None:
        try:
            async with asyncio.timeout(TRIM_EVERY_S):
                await self._arrived.wait()
        except TimeoutError:
            return

    def _together(self) -> list[_Call]:
        """What goes into the next transaction; calls whose caller gave up are left out."""
        self._arrived.clear()
        calls: list[_Call] = []
        events = 0
        while self._calls and (not calls or events + self._calls[0].events <= MOST_TOGETHER):
            call = self._calls.popleft()
            self._count(-call.events)
            if not call.written.done():
                calls.append(call)
                events += call.events
        if self._calls:
            self._arrived.set()
        return calls

    async def _write(self, calls: list[_Call]) -> None:
        started = time.perf_counter()
        try:
            await self._append([batch for call in calls for batch in call.batches])
        except StoreError:
            _answer(calls, False)
        except Exception as error:
            LOG.exception("verdicts cannot be recorded")
            await self._without_the_bad(calls, error)
        else:
            self._written(time.perf_counter() - started)
            _answer(calls, True)

    async def _without_the_bad(self, calls: list[_Call], error: Exception) -> None:
        """One call that cannot be written does not keep the others from it."""
        if len(calls) > 1:
            for call in calls:
                await self._write([call])
        elif not calls[0].written.done():
            calls[0].written.set_exception(error)

    async def _trimmed(self, arrived: int) -> int:
        """More than arrives goes in one step, so that the store does not grow while it is full."""
        try:
            return await self._trim(max(LEAST_TRIM, 2 * arrived))
        except StoreError:
            return 0

    def _count(self, events: int) -> None:
        self.waiting += events
        if self.waiting < MOST_WAITING:
            self._room.set()
        else:
            self._room.clear()


def _answer(calls: list[_Call], written: bool) -> None:
    for call in calls:
        if not call.written.done():
            call.written.set_result(written)
