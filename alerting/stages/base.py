"""``Stage``: one step of an alert on its way to the channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alerting.alert import Alert
from alerting.log import Delivery


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert with something new to tell. ``held`` says why it is not told; no stage but the last
    sees it any more."""

    alert: Alert
    channels: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    held: str = ""


class Stage(Protocol):
    """Called once per notice and consideration, in order."""

    async def __call__(self, notice: Notice, now_s: float) -> Notice:
        """The notice, with what this stage knows added, or held. Changes nothing else."""
