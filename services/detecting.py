"""Asking every detector at once, and doing without those that do not answer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

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
        awake = [name for name in self._calls if name not in self._resting]
        errands = errands_of(awake, parts, self._sees)
        answers = await asyncio.gather(*(self._ask(errand) for errand in errands))
        return by_part(errands, answers, len(parts))

    async def _ask(self, errand: Errand) -> list[bytes | None] | None:
        """One detector's scores, retried once if its replica died; None if it does not answer."""
        deadline = time.monotonic() + DETECTOR_DEADLINE_S
        name = errand.detector
        call = self._calls[name]
        for attempt in range(2):
            self.retries[name] += attempt
            try:
                left = max(0.05, deadline - time.monotonic())
                scores: list[bytes | None] = await called(call, errand.work, within_s=left)
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
                work = works(await self._canned(), self._sees.get(name, "features"))
                await called(call, work, within_s=5.0)
                answered = True
            except Exception:  # whatever it is, the others decide meanwhile
                LOG.debug("%s does not answer yet", name, exc_info=True)
        del self._resting[name]


@dataclass(frozen=True, slots=True)
class Errand:
    """What one detector is asked: its work for some of the parts, and their places."""

    detector: str
    places: list[int]
    work: list[Work]


def errands_of(
    detectors: Iterable[str], parts: Sequence[Part], sees: Mapping[str, View]
) -> list[Errand]:
    """Every part for every detector that its version asks; none for one that nobody asks."""
    found = []
    for name in detectors:
        places = [place for place, part in enumerate(parts) if name not in part.idle]
        if places:
            asking = [parts[place] for place in places]
            found.append(Errand(name, places, works(asking, sees.get(name, "features"))))
    return found


def works(parts: Sequence[Part], view: View) -> list[Work]:
    """What a detector needs of parts."""
    return [
        Work(part.live.version, part.live.path, len(part.event_ids), part.seen(view))
        for part in parts
    ]


def by_part(
    errands: Sequence[Errand], answers: Iterable[list[bytes | None] | None], parts: int
) -> list[Scores]:
    """Answers by errand -> answers by part, without those that are missing."""
    found: list[Scores] = [{} for _ in range(parts)]
    for errand, scores in zip(errands, answers, strict=True):
        for place, values in zip(errand.places, scores or (), strict=False):
            if values is not None:
                found[place][errand.detector] = values
    return found
