"""``Observe``: how whoever runs the pipeline watches it, without the pipeline knowing a tracer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

StepName = Literal[
    "ztad.alert.group",  # suspicious events become alerts, or join one
    "ztad.alert.dispatch",  # one alert through silence, inhibit, window, route, rate limit
    "ztad.alert.notify",  # one attempt to send one message
]

Observe = Callable[[StepName, str], AbstractContextManager[None]]
"""``observe(name, traceparent)``: a context around one step of what began with that trace."""


def unobserved(name: StepName, traceparent: str) -> AbstractContextManager[None]:
    """Nobody watches."""
    return nullcontext()
