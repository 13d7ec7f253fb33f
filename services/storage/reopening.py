"""``Reopening``: what was asked for, for as long as it can be used, and again once it is mended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from services.storage.errors import StoreError, TooLong

LOG = logging.getLogger("ztad.recorder")

#: Pause between attempts to open what broke for good, seconds.
OPEN_PAUSE_S = 5.0


class Closable(Protocol):
    """What can be let go of."""

    def close(self) -> None:
        """Nothing may be asked after it."""


S = TypeVar("S", bound=Closable)
T = TypeVar("T")


class Reopening(Generic[S]):
    """What ``make`` opens, also at start. One event loop.

    While it is broken it stays so for whoever asks, and is opened again once somebody has mended
    it; where ``instead`` is given, what that makes takes its place for good. Every problem is told
    in the log once, with ``meanwhile``: what becomes of things until then.
    """

    def __init__(
        self, make: Callable[[], S], meanwhile: str, instead: Callable[[], S] | None = None
    ) -> None:
        self._make = make
        self._meanwhile = meanwhile
        self._instead = instead
        self._opening = asyncio.Lock()
        self._open_s = 0.0
        self._problem = ""
        self.gone: StoreError | None = None
        """Why what was asked for is not in use."""
        self.now: S | None = None
        try:
            self.now = make()
        except StoreError as error:
            self._lose(error)

    async def ask(self, ask: Callable[[S], Awaitable[T]]) -> T:
        """What it answers; raises :class:`StoreError`."""
        asked = self.now or await self._again()
        try:
            return await ask(asked)
        except TooLong:  # it is well
            raise
        except StoreError as error:
            if error.lasting and asked is self.now:
                self._lose(error)
                asyncio.get_running_loop().run_in_executor(None, asked.close)
            else:
                self._tell(error)
            raise

    def well(self) -> None:
        """Something was written: trouble from now on is news."""
        self._problem = ""

    def close(self) -> None:
        """Nothing may be asked after it."""
        if self.now is not None:
            self.now.close()

    def _lose(self, error: StoreError) -> None:
        self._tell(error)
        self.gone, self.now = error, self._instead and self._instead()

    def _tell(self, error: StoreError) -> None:
        if str(error) != self._problem:
            self._problem = str(error)
            LOG.error("%s. %s", error, self._meanwhile)

    async def _again(self) -> S:
        """What broke, once it was mended."""
        async with self._opening:
            if self.now is None:
                if self.gone is not None and time.monotonic() < self._open_s:
                    raise self.gone
                self._open_s = time.monotonic() + OPEN_PAUSE_S
                try:
                    self.now = await asyncio.to_thread(self._make)
                except StoreError as error:
                    self._lose(error)
                    raise
                LOG.warning("open again, after it was mended: %s", self.gone)
                self.gone = None
            return self.now
