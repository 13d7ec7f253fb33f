"""The fuse: a worker stops when most of its input turns into dead letters.

A topic of another format, a schema that changed or a stage with a fault would otherwise send
everything to the dead letters, and commit it.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Fuse:
    """Blows when more than ``share`` of the last ``window`` messages, and at least ``least``, were
    dead letters. ``share`` 1 never blows.

    >>> fuse = Fuse(share=0.5, window=1000, least=100)
    >>> fuse.count(150, 90), fuse.count(40, 20), fuse.blown
    (False, True, True)
    >>> fuse.close(); fuse.blown
    False
    """

    def __init__(self, *, share: float, window: int, least: int) -> None:
        self._share = share
        self._window = window
        self._least = least
        self._counts: deque[tuple[int, int]] = deque()
        self._total = 0
        self._dead = 0
        self._closed = asyncio.Event()
        self._closed.set()
        self.why = ""

    @property
    def blown(self) -> bool:
        """Whether the worker has to wait."""
        return not self._closed.is_set()

    def count(self, messages: int, dead: int) -> bool:
        """What became of a batch; True when that blows the fuse."""
        self._counts.append((messages, dead))
        self._total += messages
        self._dead += dead
        while self._total - self._counts[0][0] >= self._window:
            old, old_dead = self._counts.popleft()
            self._total -= old
            self._dead -= old_dead
        if self._dead < self._least or self._dead <= self._share * self._total:
            return False
        self._closed.clear()
        self.why = f"{self._dead:,} of the last {self._total:,} messages are dead letters"
        return True

    def close(self) -> None:
        """Let the worker go on, and count anew."""
        self._counts.clear()
        self._total = self._dead = 0
        self.why = ""
        self._closed.set()

    async def closed(self) -> None:
        """Wait until it may go on."""
        await self._closed.wait()
