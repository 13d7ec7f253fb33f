"""Judging with the version that only watches: behind the answers, one batch at a time.

Nobody waits for it. What cannot be judged soon is shed, before anything else is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping

from models.base import View
from services.detecting import by_part, works
from services.recording import Call, RecordQueue, called
from services.records import recorded
from services.wire import Case, Judged, Part

LOG = logging.getLogger("ztad.shadow")

#: Batches that may wait; with more the Preprocessor is not even asked to prepare them.
MOST_WAITING = 4
#: A shadow version may take this long for a batch, seconds.
SHADOW_DEADLINE_S = 30.0


class Shadow:
    """Takes the parts of the shadow version and judges them one after the other.

    ``shed`` and ``judged`` count events. One per event loop.
    """

    def __init__(
        self,
        detectors: Mapping[str, Call],
        sees: Mapping[str, View],
        judge: Call,
        queue: RecordQueue,
    ) -> None:
        self._detectors = detectors
        self._sees = sees
        self._judge = judge
        self._queue = queue
        self._waiting: deque[Part] = deque()
        self._arrived = asyncio.Event()
        self.shed = 0
        self.judged = 0
        self.alerts = 0

    @property
    def open(self) -> bool:
        """Whether another batch can be taken."""
        return len(self._waiting) < MOST_WAITING

    def put(self, part: Part) -> None:
        """Take a batch, or shed it."""
        if not self.open:
            self.skip(len(part.event_ids))
            return
        self._waiting.append(part)
        self._arrived.set()

    def skip(self, events: int) -> None:
        """Events that were not even prepared for it."""
        self.shed += events

    async def run(self) -> None:
        """Judge what comes until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                part = self._waiting[0]
                try:
                    await self._score(part)
                except Exception:  # a version that fails here must not disturb anybody
                    self.skip(len(part.event_ids))
                    LOG.warning("shadow version %s failed", part.live.version, exc_info=True)
                finally:
                    self._waiting.popleft()

    async def _score(self, part: Part) -> None:
        answers = await asyncio.gather(
            *(
                called(
                    call,
                    works([part], self._sees.get(name, "features")),
                    within_s=SHADOW_DEADLINE_S,
                )
                for name, call in self._detectors.items()
            )
        )
        raw = by_part(dict(zip(self._detectors, answers, strict=True)), 1)[0]
        case = Case(
            part.live, part.columns, part.values, part.context, raw, [""] * len(part.event_ids)
        )
        judged: list[Judged] = await called(self._judge, [case], within_s=SHADOW_DEADLINE_S)
        self.judged += len(part.event_ids)
        self.alerts += len(judged[0].alerts)
        repeats = frozenset(part.duplicates)
        self._queue.put(recorded(part, judged[0], judged[0].verdicts, repeats))
