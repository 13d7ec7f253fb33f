"""Verdicts on their way from whoever scored them to the Recorder."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Iterator
from typing import Any, Protocol

from services.records import only
from services.storage.base import Kept
from services.wire import Recorded

LOG = logging.getLogger("ztad.recording")

#: The Recorder has this long to put a call on record, seconds.
RECORD_DEADLINE_S = 5.0
#: Verdicts in one call to the Recorder, about 3 MB; a single batch may be larger.
MOST_IN_CALL = 5000
#: Longest pause between attempts while the Recorder takes nothing, seconds.
MOST_PAUSE_S = 2.0


class Call(Protocol):
    """One remote method: ``handle.method`` of Serve, or a fake with the same ``remote``."""

    def remote(self, *args: Any) -> Awaitable[Any]: ...


class NotTaken(Exception):
    """The Recorder cannot store anything now."""


class RecordQueue:
    """Verdicts on their way to the Recorder: bounded, batched, and never in anybody's way.

    Beyond the bound the least important is given up and counted: what a shadow version said first,
    then the oldest verdicts under the threshold, flagged ones last. Verdicts stay here until the
    Recorder has confirmed that they are on record.
    """

    def __init__(self, record: Call, most_events: int = 200_000, interval_s: float = 0.1) -> None:
        self._record = record
        self._most = most_events
        self._interval_s = interval_s
        self._sending: deque[Recorded] = deque()
        self._flagged: deque[Recorded] = deque()
        """What is left of batches whose other verdicts were given up; older than all in _whole."""
        self._whole: deque[Recorded] = deque()
        self._shadow: deque[Recorded] = deque()
        self._events = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.dropped = 0

    def put(self, recorded: Recorded) -> None:
        """Queue a batch; beyond the bound the least important is given up."""
        if not recorded.event_ids:
            return
        (self._shadow if recorded.shadow else self._whole).append(recorded)
        self._events += len(recorded.event_ids)
        self._empty.clear()
        self._keep_within_bound()

    @property
    def waiting(self) -> int:
        """Verdicts that have not been taken yet."""
        return self._events + sum(len(batch.event_ids) for batch in self._sending)

    def find(self, event_ids: list[str]) -> dict[str, bytes]:
        """Verdicts that are still here."""
        wanted = set(event_ids)
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        for recorded in self._answered():
            for event_id, verdict in zip(recorded.event_ids, recorded.verdicts, strict=True):
                if event_id in wanted:
                    found.setdefault(event_id, verdict)
        return found

    def get(self, event_id: str) -> Kept | None:
        """What is known of an event that is still here, as the Recorder would tell it."""
        for recorded in self._answered():
            if event_id in recorded.event_ids:
                row, width = recorded.row(event_id), recorded.columns * 4
                return Kept(
                    verdict=recorded.verdicts[row],
                    version=recorded.version,
                    path=recorded.path,
                    manifest="",
                    recorded_s=time.time(),
                    values=recorded.values[row * width : (row + 1) * width],
                    evidence=recorded.evidence.get(row),
                    event=recorded.events[row] if recorded.events else None,
                )
        return None

    async def run(self, transient: tuple[type[Exception], ...]) -> None:
        """Send what waits, a few times a second; what is not taken is sent again before the rest.

        ``transient`` are the errors of a Recorder that is not there.
        """
        again: tuple[type[Exception], ...] = (*transient, NotTaken)
        pause_s = self._interval_s
        while True:
            await asyncio.sleep(pause_s)
            try:
                while self._take():
                    await self._send(again)
                self._empty.set()
                pause_s = self._interval_s
            except again:
                self._put_back()
                pause_s = min(MOST_PAUSE_S, 2 * pause_s)

    async def emptied(self) -> None:
        """Wait until everything is on record, or given up."""
        await self._empty.wait()

    def _take(self) -> bool:
        """Fill the next call; False when nothing waits."""
        events = 0
        for waiting in (self._flagged, self._whole, self._shadow):
            while waiting and (not events or events + len(waiting[0].event_ids) <= MOST_IN_CALL):
                recorded = waiting.popleft()
                self._sending.append(recorded)
                events += len(recorded.event_ids)
        self._events -= events
        return events > 0

    async def _send(self, again: tuple[type[Exception], ...]) -> None:
        try:
            await self._call(list(self._sending))
        except again:
            raise
        except Exception:  # one batch that cannot be recorded must not keep the others
            LOG.warning("verdicts are sent again one batch at a time", exc_info=True)
            await self._send_singly(again)
        self._sending.clear()

    async def _send_singly(self, again: tuple[type[Exception], ...]) -> None:
        while self._sending:
            try:
                await self._call([self._sending[0]])
            except again:
                raise
            except Exception:
                LOG.exception("verdicts cannot be recorded")
                self.dropped += len(self._sending[0].event_ids)
            self._sending.popleft()

    async def _call(self, batches: list[Recorded]) -> None:
        if not await called(self._record, batches, within_s=RECORD_DEADLINE_S):
            raise NotTaken

    def _put_back(self) -> None:
        while self._sending:
            recorded = self._sending.pop()
            (self._shadow if recorded.shadow else self._whole).appendleft(recorded)
            self._events += len(recorded.event_ids)
        self._keep_within_bound()

    def _keep_within_bound(self) -> None:
        while self._events > self._most and self._batches() > 1:
            lost = self._give_up()
            self._events -= lost
            self.dropped += lost

    def _give_up(self) -> int:
        """Let the least important go; how many verdicts went."""
        if self._shadow:
            return len(self._shadow.popleft().event_ids)
        if not self._whole:
            return len(self._flagged.popleft().event_ids)
        oldest = self._whole.popleft()
        if oldest.alerts:
            self._flagged.append(only(oldest, oldest.alerts))
        return len(oldest.event_ids) - len(oldest.alerts)

    def _batches(self) -> int:
        return len(self._flagged) + len(self._whole) + len(self._shadow)

    def _answered(self) -> Iterator[Recorded]:
        """Everything that waits and was somebody's answer."""
        yield from (recorded for recorded in self._sending if not recorded.shadow)
        yield from self._flagged
        yield from self._whole


async def called(call: Call, *args: Any, within_s: float) -> Any:
    """The answer of a stage; TimeoutError when it takes longer.

    Not ``wait_for``: before Python 3.12 that could swallow a cancellation.
    """
    async with asyncio.timeout(within_s):
        return await call.remote(*args)
