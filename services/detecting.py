"""Asking every detector at once, and doing without those that do not answer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from models.base import View
from services.recording import Call, called
from services.telemetry import noted
from services.wire import Part, Work

LOG = logging.getLogger("ztad.detecting")

#: A detector has this long, at any batch size the gateway accepts, seconds.
DETECTOR_DEADLINE_S = 2.0
#: Pause before a detector that failed is asked again, behind the scenes, seconds.
REST_S = 0.5

Scores = dict[str, bytes]
"""Raw scores of one part by detector, float64 (rows,) as bytes."""


class Detectors:
    """All detectors, side by side. One that fails or is late is left out until it has answered for
    a canned event behind the scenes: no caller waits for it twice. Each is given what it ``sees``,
    features where nothing is said."""

    def __init__(
        self,
        calls: Mapping[str, Call],
        sees: Mapping[str, View],
        canned: Callable[[], Awaitable[list[Part]]],
        transient: tuple[type[Exception], ...],
    ) -> None:
        self._calls = calls
        self._sees = sees
        self._canned = canned
        self._transient = transient
        self._resting: dict[str, asyncio.Task[None]] = {}
        self.retries: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def resting(self) -> dict[str, bool]:
        """For each detector whether it is left out."""
        return {name: name in self._resting for name in self._calls}

    async def detect(self, parts: list[Part]) -> list[Scores]:
        """For each part the raw scores of the detectors that answered in time and that its version
        has."""
        asked = {name: call for name, call in self._calls.items() if name not in self._resting}
        answers = await asyncio.gather(*(self._ask(name, asked[name], parts) for name in asked))
        return by_part(dict(zip(asked, answers, strict=True)), len(parts))

    async def _ask(self, name: str, call: Call, parts: list[Part]) -> list[bytes | None] | None:
        """One detector's scores, retried once if its replica died; None if it does not answer."""
        deadline = time.monotonic() + DETECTOR_DEADLINE_S
        work = self._works(name, parts)
        for attempt in range(2):
            self.retries[name] += attempt
            try:
                left = max(0.05, deadline - time.monotonic())
                scores: list[bytes | None] = await called(call, work, within_s=left)
                return scores
            except TimeoutError:
                break
            except self._transient:
                continue
            except Exception:  # whatever is wrong with one detector, the others decide
                LOG.exception("%s failed", name)
                break
        noted("detector left out", detector=name)
        if name not in self._resting:
            self._resting[name] = asyncio.get_running_loop().create_task(
                self._revive(name, call), context=contextvars.Context()
            )
        return None

    async def _revive(self, name: str, call: Call) -> None:
        answered = False
        while not answered:
            await asyncio.sleep(REST_S)
            try:
                await called(call, self._works(name, await self._canned()), within_s=5.0)
                answered = True
            except Exception:  # whatever it is, the others decide meanwhile
                LOG.debug("%s does not answer yet", name, exc_info=True)
        del self._resting[name]

    def _works(self, name: str, parts: list[Part]) -> list[Work]:
        return works(parts, self._sees.get(name, "features"))


def works(parts: list[Part], view: View) -> list[Work]:
    """What a detector needs of parts."""
    return [
        Work(part.live.version, part.live.path, len(part.event_ids), part.seen(view))
        for part in parts
    ]


def by_part(answers: Mapping[str, list[bytes | None] | None], parts: int) -> list[Scores]:
    """Answers by detector -> answers by part, without those that are missing."""
    found: list[Scores] = [{} for _ in range(parts)]
    for name, scores in answers.items():
        for index, values in enumerate(scores or ()):
            if values is not None:
                found[index][name] = values
    return found
