"""``Observe``: how whoever runs the pipeline watches it, without the pipeline knowing a tracer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

StepName = Literal[
    "ztad.alert.group",  # suspicious events become alerts, or join one
    "ztad.alert.dispatch",  # one alert through silence, inhibit, window, route, rate limit
    "ztad.alert.notify",  # one attempt to send one message
]


class Note(Protocol):
    """Notes what a step was about, such as ``note(channel="mail", attempt=2)``; no secrets, and
    nothing that a user has said."""

    def __call__(self, **attributes: str | int) -> None: ...


Observe = Callable[[StepName, str], AbstractContextManager[Note]]
"""``observe(name, traceparent)``: a context around one step of what began with that trace."""


def unobserved(name: StepName, traceparent: str) -> AbstractContextManager[Note]:
    """Nobody watches."""
    return nullcontext(_unnoted)


def _unnoted(**attributes: str | int) -> None:
    """Nobody listens."""
