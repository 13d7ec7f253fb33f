"""Retry: when a message that did not get through is tried again, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from alerting.log import Delivery
from alerting.notifiers.base import Rejected, Retryable
from alerting.rules import Retry

#: Pauses are this share of themselves at least, so that messages do not march in step.
LEAST_JITTER = 0.5
#: A channel that asks for a longer pause is tried after this one, seconds: it may be wrong.
MOST_ASKED_S = 3600.0
#: Longest text kept of why a message did not get through.
MOST_PROBLEM = 300


class Retries:
    """Pauses double with every attempt; a channel that says how long to wait is believed, up to
    :data:`MOST_ASKED_S`.

    ``random`` gives values in [0, 1).
    """

    def __init__(self, retry: Retry, random: Callable[[], float]) -> None:
        self._retry = retry
        self._random = random

    def __call__(self, delivery: Delivery, why: Retryable | Rejected, now_s: float) -> Delivery:
        problem = str(why)[:MOST_PROBLEM]
        gives_up_s = delivery.created_s + self._retry.give_up
        if isinstance(why, Rejected) or now_s >= gives_up_s:
            return replace(delivery, state="failed", problem=problem, finished_s=now_s)
        due_s = min(now_s + self._pause_s(delivery.attempts, why), gives_up_s)
        return replace(delivery, state="waiting", problem=problem, due_s=due_s)

    def _pause_s(self, attempts: int, why: Retryable | Rejected) -> float:
        doubled = self._retry.first * 2.0 ** min(attempts - 1, 30)
        jitter = LEAST_JITTER + (1.0 - LEAST_JITTER) * self._random()
        return max(min(self._retry.most, doubled) * jitter, asked_s(why))


def asked_s(why: Retryable | Rejected) -> float:
    """The pause that a channel has asked for, as far as it is believed; 0 if it has not."""
    asked = why.retry_after_s if isinstance(why, Retryable) else None
    return min(asked or 0.0, MOST_ASKED_S)
