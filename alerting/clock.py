"""Time as a constructor argument: everything in ``alerting`` that needs it is handed a clock."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Says what time it is, and waits."""

    def now(self) -> float:
        """Seconds since the epoch."""

    async def sleep(self, seconds: float) -> None:
        """Return once that many seconds have passed."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands until it is moved: for replays of a day in a second, and for tests.

    >>> clock = ManualClock(1000.0)
    >>> clock.advance(60)
    >>> clock.now()
    1060.0
    """

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        wake_s = self._now_s + max(0.0, seconds)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = (wake_s, done)
        self._sleepers.append(sleeper)
        try:
            self.advance(0.0)
            await done
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Move on, and wake whoever slept until then. Time never runs backwards."""
        self._now_s += max(0.0, seconds)
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._now_s]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._now_s]
        for _, done in due:
            if not done.done():
                done.set_result(None)
