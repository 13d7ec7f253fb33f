"""Audit lines on their way to the Recorder, beside the file they are in already."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from itertools import islice

from services.recording import Call, called
from services.storage.base import AuditLine

LOG = logging.getLogger("ztad.audit")

#: Lines that may wait; refusals are a few a minute for each caller, so hours of them.
MOST_LINES = 10_000
#: Lines in one call.
AT_ONCE = 500
#: The Recorder has this long to put a call on record, seconds.
DEADLINE_S = 5.0
#: Pause after the Recorder took nothing, seconds.
PAUSE_S = 1.0


class AuditRecord:
    """Keeps lines until the Recorder has confirmed them. Beyond ``most`` the oldest are given up,
    and each is told to ``lost``. One per event loop; run ``run`` in the background.
    """

    def __init__(
        self,
        record: Call,
        lost: Callable[[], None] = lambda: None,
        *,
        most: int = MOST_LINES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._record = record
        self._lost = lost
        self._most = most
        self._clock = clock
        self._lines: deque[AuditLine] = deque()
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()

    def put(self, line: str) -> None:
        """Take one line, a JSON object; never waits, never raises."""
        self._lines.append(AuditLine(uuid.uuid4().hex, self._clock(), line.encode()))
        if len(self._lines) > self._most:
            self._lines.popleft()
            self._lost()
        self._none.clear()
        self._some.set()

    async def run(self) -> None:
        """Send what waits until cancelled; what was not confirmed is sent again."""
        while True:
            await self._some.wait()
            try:
                await self._send()
            except Exception as error:  # noqa: BLE001 - whatever it is, the lines stay
                LOG.info("audit lines wait for the Recorder: %r", error)
                await asyncio.sleep(PAUSE_S)

    async def emptied(self) -> None:
        """Wait until everything is on record."""
        await self._none.wait()

    async def _send(self) -> None:
        lines = list(islice(self._lines, AT_ONCE))
        await called(self._record, lines, within_s=DEADLINE_S)
        for line in lines:  # meanwhile the oldest may have been given up
            if self._lines and self._lines[0] is line:
                self._lines.popleft()
        if not self._lines:
            self._some.clear()
            self._none.set()
