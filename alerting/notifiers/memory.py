"""Memory: messages end up in a list. For tests, demos and trying rules."""

from __future__ import annotations

from typing import ClassVar

from alerting.message import Message
from alerting.notifiers.base import ChannelSettings, Rejected, Retryable
from alerting.secret import Secrets


class MemoryNotifier:
    """Keeps what it was sent. ``refuse`` is raised instead, as long as it is set."""

    settings_type: ClassVar[type[ChannelSettings]] = ChannelSettings

    def __init__(self, name: str, settings: ChannelSettings, secrets: Secrets) -> None:
        self.name = name
        self.sent: list[Message] = []
        self.refuse: Retryable | Rejected | None = None

    async def notify(self, message: Message) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.sent.append(message)

    async def close(self) -> None:
        """Nothing is held."""
