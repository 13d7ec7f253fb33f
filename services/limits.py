"""Rates: token buckets, however many callers there are, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class Buckets:
    """One token bucket per caller. A caller who has not been seen for long may be forgotten: the
    bucket is full again by then, unless ``most_callers`` came in the meantime.

    ``clock`` in seconds, from any start, never backwards.
    """

    def __init__(self, clock: Callable[[], float], *, most_callers: int = 4096) -> None:
        self._clock = clock
        self._most_callers = most_callers
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def spend(self, caller: Hashable, *, per_s: float, burst: float) -> float:
        """Take a token of a bucket that fills by ``per_s`` up to ``burst`` (at least one). Returns
        0, or the seconds until there is one again."""
        now = self._clock()
        burst = max(1.0, burst)
        tokens, at = self._buckets.pop(caller, (burst, now))
        tokens = min(burst, tokens + (now - at) * per_s)
        spent = tokens >= 1.0
        # Put back as the newest, so that the first is who has not asked for longest.
        self._buckets[caller] = (tokens - 1.0 if spent else tokens, now)
        if len(self._buckets) > self._most_callers:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if spent else (1.0 - tokens) / per_s
