"""Verdicts on their way from whoever scored them to the Recorder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Protocol

from services.wire import Recorded

LOG = logging.getLogger("ztad.recording")

#: The Recorder has this long to take a batch, seconds.
RECORD_DEADLINE_S = 5.0


class Call(Protocol):
    """One remote method: ``handle.method`` of Serve, or a fake with the same ``remote``."""

    def remote(self, *args: Any) -> Awaitable[Any]: ...


class RecordQueue:
    """Verdicts on their way to the Recorder: bounded, batched, and never in anybody's way."""

    def __init__(self, record: Call, most_events: int = 200_000, interval_s: float = 0.1) -> None:
        self._record = record
        self._most = most_events
        self._interval_s = interval_s
        self._waiting: list[Recorded] = []
        self._sending: list[Recorded] = []
        self._events = 0
        self.dropped = 0

    def put(self, recorded: Recorded) -> None:
        """Queue a batch; beyond the bound the oldest is given up and counted."""
        if not recorded.event_ids:
            return
        self._waiting.append(recorded)
        self._events += len(recorded.event_ids)
        while self._events > self._most and len(self._waiting) > 1:
            lost = len(self._waiting.pop(0).event_ids)
            self._events -= lost
            self.dropped += lost

    def find(self, event_ids: list[str]) -> dict[str, bytes]:
        """Verdicts that are still here."""
        wanted = set(event_ids)
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        for recorded in (*self._sending, *self._waiting):
            for event_id, verdict in zip(recorded.event_ids, recorded.verdicts, strict=True):
                if event_id in wanted:
                    found.setdefault(event_id, verdict)
        return found

    def get(self, event_id: str) -> tuple[bytes, bytes] | None:
        """Verdict and feature row of an event that is still here."""
        for recorded in (*self._sending, *self._waiting):
            if event_id in recorded.event_ids:
                row, width = recorded.event_ids.index(event_id), recorded.columns * 4
                return recorded.verdicts[row], recorded.values[row * width : (row + 1) * width]
        return None

    async def run(self, transient: tuple[type[Exception], ...]) -> None:
        """Send what waits, a few times a second; what cannot be sent goes back to the front."""
        while True:
            await asyncio.sleep(self._interval_s)
            self._sending, self._waiting = self._waiting, []
            self._events = 0
            try:
                await self._send()
            except transient:
                self._waiting = self._sending + self._waiting
                self._events = sum(len(batch.event_ids) for batch in self._waiting)
            except Exception:  # a batch that cannot be recorded must not keep the others
                LOG.exception("verdicts cannot be recorded")
                self.dropped += len(self._sending[0].event_ids)
                self._waiting = self._sending[1:] + self._waiting
                self._events = sum(len(batch.event_ids) for batch in self._waiting)
            self._sending = []

    async def _send(self) -> None:
        while self._sending:
            await called(self._record, self._sending[0], within_s=RECORD_DEADLINE_S)
            self._sending = self._sending[1:]


async def called(call: Call, *args: Any, within_s: float) -> Any:
    """The answer of a stage; TimeoutError when it takes longer.

    Not ``wait_for``: before Python 3.12 that could swallow a cancellation.
    """
    async with asyncio.timeout(within_s):
        return await call.remote(*args)
