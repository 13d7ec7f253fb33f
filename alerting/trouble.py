"""What goes on being wrong: told when it begins, now and then meanwhile, and when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

#: A cause that goes on is told again after so long, seconds.
AGAIN_S = 600.0
#: Causes that are told apart; all beyond count as one, however many texts an error has.
MOST_CAUSES = 8


@dataclass(slots=True)
class _Cause:
    told_s: float
    times: int = 1


class Trouble:
    """``what`` cannot be done for now; whoever tries says how it went.

    Every cause is told when it first shows, and every ``AGAIN_S`` while it goes on, with how often
    it was seen. ``clock`` gives seconds that never go back.
    """

    def __init__(
        self, log: logging.Logger, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._what = what
        self._clock = clock
        self._times = 0
        self._causes: dict[str, _Cause] = {}

    def shows(self, error: Exception) -> None:
        """It went wrong; call it while the error is handled."""
        self._times += 1
        told, now_s = str(error) or type(error).__name__, self._clock()
        key = told if told in self._causes or len(self._causes) < MOST_CAUSES else ""
        cause = self._causes.get(key)
        if cause is None:
            self._causes[key] = _Cause(now_s)
            self._log.error("%s (%s); tried again until it works", self._what, told, exc_info=True)
            return
        cause.times += 1
        if now_s >= cause.told_s + AGAIN_S:
            cause.told_s = now_s
            which = "this" if key else "this and other causes"
            self._log.error("%s (%s); %s %d times by now", self._what, told, which, cause.times)

    def over(self) -> None:
        """It went well."""
        if self._times:
            self._log.warning("no more: %s; it was tried %d times", self._what, self._times)
        self._times = 0
        self._causes.clear()
