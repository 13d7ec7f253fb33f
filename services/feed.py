"""``Feed``: verdicts over the threshold as they are recorded, for any number of listeners.

They cost the Recorder one question at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable

from services.recording import Call, called
from services.storage.base import Flagged, Tail

LOG = logging.getLogger("ztad.feed")

#: Listeners of one gateway replica.
MOST_LISTENERS = 64
#: Verdicts that a listener may be behind before it is sent on to the latest.
MOST_BEHIND = 1000
#: Verdicts of one question; a listener that resumes reads as many at once.
PAGE = 500
#: How long the Recorder waits for the next verdict, seconds; it answers soon after.
POLL_S = 2.0
ANSWER_S = POLL_S + 5.0
#: Pause after the Recorder did not answer, seconds.
PAUSE_S = 1.0
#: A line that nobody shows tells listeners, and proxies in between, that we are there, seconds.
HEARTBEAT_S = 15.0

_BEGIN = b"retry: 2000\n\n"
_ALIVE = b": alive\n\n"


class Feed:
    """Asks only while somebody listens. One per event loop; ``flagged`` is the Recorder's method.

    It holds the last verdicts, in order of recording: all of them after ``since``, up to ``place``.
    """

    def __init__(self, flagged: Call) -> None:
        self._flagged = flagged
        self.listeners = 0
        self._following: asyncio.Task[None] | None = None
        self._held: deque[Flagged] = deque()
        self._news = asyncio.Event()
        self.since: int | None = None
        self.place: int | None = None
        self.passed = 0
        """Verdicts that came by so far."""
        self.begun = 0
        """How often it began: a store that was lost counts places from 1 again."""

    @property
    def full(self) -> bool:
        """Whether there are as many listeners as there may be."""
        return self.listeners >= MOST_LISTENERS

    def listen(self, after: int | None, wanted: Callable[[Flagged], bool]) -> Listener:
        """Server-sent events from now on, or of everything recorded after a place."""
        self.listeners += 1
        if self._following is None:
            self._following = asyncio.get_running_loop().create_task(self._follow())
        return Listener(self, after, wanted)

    def leave(self) -> None:
        """A listener less; without any nobody is asked."""
        self.listeners -= 1
        if not self.listeners and self._following is not None:
            self._following.cancel()
            self._following, self.since, self.place = None, None, None
            self._held.clear()

    def after(self, place: int) -> list[Flagged]:
        """The verdicts after a place that is not before ``since``."""
        return [flagged for flagged in self._held if flagged.place > place]

    async def news(self) -> None:
        """Until something came by."""
        await self._news.wait()

    async def page(self, after: int) -> Tail:
        """Verdicts of the past, in order of recording."""
        tail: Tail = await called(self._flagged, after, PAGE, within_s=ANSWER_S)
        return tail

    async def _follow(self) -> None:
        away = False
        while True:
            try:
                tail: Tail = await called(
                    self._flagged, self.place, PAGE, POLL_S, within_s=ANSWER_S
                )
            except Exception:  # listeners are told nothing until the Recorder is back
                if not away:
                    LOG.warning("the Recorder cannot be asked for verdicts", exc_info=True)
                away = True
                await asyncio.sleep(PAUSE_S)
                continue
            away = False
            self._hold(tail)

    def _hold(self, tail: Tail) -> None:
        if self.place is None or tail.place < self.place:  # at first, or its store was lost
            self._held.clear()
            self.since = tail.place
            self.begun += 1
        self.place = tail.place
        self.passed += len(tail.flagged)
        self._held.extend(tail.flagged)
        while len(self._held) > MOST_BEHIND:
            self.since = self._held.popleft().place
        news, self._news = self._news, asyncio.Event()
        news.set()


class Listener:
    """The server-sent events for one client; ``aclose`` must be called when it leaves."""

    def __init__(self, feed: Feed, after: int | None, wanted: Callable[[Flagged], bool]) -> None:
        self._feed = feed
        self._after = after
        self._wanted = wanted
        self._greeted = False
        self._listening = True
        self._begun = 0
        self._place = 0
        self._passed: int | None = None
        """What came by for this listener; None while it still reads what was before."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """What comes next, or a sign of life when that takes a while."""
        if not self._greeted:
            self._greeted = True
            return _BEGIN
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                while not (chunk := await self._next()):
                    pass
        except TimeoutError:
            return _ALIVE
        return chunk

    async def aclose(self) -> None:
        """The client is not there any more."""
        if self._listening:
            self._listening = False
            self._feed.leave()

    async def _next(self) -> bytes:
        """One step; empty if there is nothing to tell after it. Cancelled, it was not made."""
        feed = self._feed
        if feed.since is None:
            await feed.news()
            return b""
        if self._begun != feed.begun:
            self._begin(feed.since)
        if self._place >= feed.since:
            return await self._coming_by()
        return self._skip() if self._passed is not None else await self._past()

    def _begin(self, since: int) -> None:
        """At first; and again where a store that was lost begins."""
        first, self._begun = not self._begun, self._feed.begun
        self._place = self._after if first and self._after is not None else since
        self._place = min(self._place, self._feed.place or 0)
        self._passed = None

    async def _past(self) -> bytes:
        try:
            tail = await self._feed.page(self._place)
        except Exception:  # it is asked again
            LOG.warning("the Recorder cannot be asked for the past", exc_info=True)
            await asyncio.sleep(PAUSE_S)
            return b""
        self._place = tail.place
        return self._told(tail.flagged)

    async def _coming_by(self) -> bytes:
        feed = self._feed
        flagged = feed.after(self._place)
        self._passed = feed.passed
        if not flagged:
            await feed.news()
            return b""
        self._place = flagged[-1].place
        return self._told(flagged)

    def _skip(self) -> bytes:
        """Too slow: on to the latest, and tell how many were left out."""
        feed = self._feed
        left_out = feed.passed - (self._passed or 0)
        self._place, self._passed = feed.place or 0, feed.passed
        return b'id: %d\nevent: skipped\ndata: {"verdicts":%d}\n\n' % (self._place, left_out)

    def _told(self, flagged: list[Flagged]) -> bytes:
        return b"".join(
            b"id: %d\ndata: %b\n\n" % (each.place, each.verdict)
            for each in flagged
            if self._wanted(each)
        )
