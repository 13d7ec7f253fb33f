"""Judging with the version that only watches: behind the answers, many batches in one call.

Nobody waits for it. What cannot be judged soon is shed, before anything else is. A call between
deployments costs the same for one batch as for fifty, so batches gather: made one by one, those
calls take from the answers what they need themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping

from models.base import View
from services.detecting import by_part, errands_of
from services.recording import Call, RecordQueue, called
from services.records import recorded
from services.routing import Live
from services.wire import Case, Judged, Part

LOG = logging.getLogger("ztad.shadow")

#: Once so many events wait, the Preprocessor is not even asked to prepare more.
MOST_WAITING = 5000
#: Batches gather for so long, seconds.
GATHER_S = 0.25
#: A shadow version may take this long for a call, seconds.
SHADOW_DEADLINE_S = 30.0

Told = Callable[[Live, Judged, float], None]
"""What a version made of a batch, and the seconds its call took."""


def _nobody(live: Live, judged: Judged, took_s: float) -> None:
    """Nobody counts."""


class Shadow:
    """Gathers the parts of the shadow version and judges them together.

    ``shed`` and ``judged`` count events. ``told`` is called for every batch that was judged. One
    per event loop.
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
        self._parts: deque[Part] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._failing = False
        self.told: Told = _nobody
        self.shed = 0
        self.judged = 0

    @property
    def open(self) -> bool:
        """Whether another batch can be taken."""
        return self._waiting < MOST_WAITING

    def put(self, part: Part) -> None:
        """Take a batch, or shed it."""
        if not self.open:
            self.skip(len(part.event_ids))
            return
        self._parts.append(part)
        self._waiting += len(part.event_ids)
        self._arrived.set()

    def skip(self, events: int) -> None:
        """Events that were not even prepared for it."""
        self.shed += events

    async def run(self) -> None:
        """Judge what comes until cancelled."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(GATHER_S)
            self._arrived.clear()
            parts, self._parts = list(self._parts), deque()
            events = sum(len(part.event_ids) for part in parts)
            try:
                await self._score(parts)
                self.judged += events
                self._failing = False
            except Exception:  # a version that fails here must not disturb anybody
                self.skip(events)
                if not self._failing:  # told once, however long it goes on
                    version = parts[0].live.version
                    LOG.warning("shadow version %s fails", version, exc_info=True)
                self._failing = True
            finally:
                self._waiting -= events

    async def _score(self, parts: list[Part]) -> None:
        started = time.perf_counter()
        errands = errands_of(self._detectors, parts, self._sees)
        answers = await asyncio.gather(
            *(
                called(self._detectors[errand.detector], errand.work, within_s=SHADOW_DEADLINE_S)
                for errand in errands
            )
        )
        raw = by_part(errands, answers, len(parts))
        cases = [
            Case(part.live, part.columns, part.values, part.context, scores,
                 [""] * len(part.event_ids))
            for part, scores in zip(parts, raw, strict=True)
        ]  # fmt: skip
        judged: list[Judged] = await called(self._judge, cases, within_s=SHADOW_DEADLINE_S)
        took_s = time.perf_counter() - started
        for part, one in zip(parts, judged, strict=True):
            self.told(part.live, one, took_s)
            self._queue.put(recorded(part, one, one.verdicts, frozenset(part.duplicates)))
