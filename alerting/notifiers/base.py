"""``Notifier``: sends one message over one channel, or says why not."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, Self

from pydantic import Field, model_validator

from alerting.message import Message
from alerting.secret import Secrets
from alerting.strict import Duration, Strict, TimeOfDay
from ensemble.verdict import Severity

#: One attempt takes no longer, seconds: a channel that hangs is a channel that is down.
ATTEMPT_S = 30.0
#: HTTP statuses that an operator or time can mend; after any other 4xx a repeat is pointless.
MENDABLE = frozenset({401, 403, 404, 407, 408, 425, 429})


class Rate(Strict):
    """Most single messages in a span of time; ``critical`` ones are never held back."""

    most: Annotated[int, Field(ge=1, le=10_000)] = 30
    per: Duration = 3600.0


class Digest(Strict):
    """Alerts below a severity wait and are sent together: every so often, or once a day."""

    below: Severity
    every: Duration | None = None
    at: TimeOfDay | None = None
    """Time of day, UTC."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.every is None) == (self.at is None):
            raise ValueError('expected either every (such as 4h) or at (such as "08:00")')
        if self.every is not None and self.every < 60.0:
            raise ValueError("every: expected at least 1m")
        return self


#: What people read one by one: ``low`` alerts, most of which are single events, come once a day.
DAILY = Digest(below="medium", at=7 * 60 + 30)


class ChannelSettings(Strict):
    """What every channel has; each notifier adds its own."""

    type: str
    rate: Rate = Rate()
    digest: Digest | None = None


class Retryable(Exception):
    """The message may get through later; ``retry_after_s`` if the channel said when."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Rejected(Exception):
    """The channel will never take this message."""


class Notifier(Protocol):
    """Sends messages over one channel."""

    settings_type: ClassVar[type[ChannelSettings]]
    """How the channel is described in the rules file."""

    def __init__(self, name: str, settings: ChannelSettings, secrets: Secrets) -> None: ...

    async def notify(self, message: Message) -> None:
        """Send, within :data:`ATTEMPT_S`; returns once the channel has taken the message.

        Called again with the same ``delivery_id`` when it is unknown whether an earlier attempt
        got through; the id travels with the message, so that receivers can tell. Raises
        :class:`Retryable` or :class:`Rejected`, with no secret in their text.
        """

    async def close(self) -> None:
        """Let go of connections; nothing may be called after it."""


def hush(*libraries: str) -> None:
    """Let HTTP libraries log warnings only: their other lines hold addresses, tokens included."""
    for library in libraries:
        logging.getLogger(library).setLevel(logging.WARNING)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies certificates against the system's authorities, or those of a file alone."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    except OSError as error:
        raise Retryable(f"ca_file cannot be used: {error.strerror or 'no certificate'}") from None


def refusal(status: int, retry_after_s: float | None = None) -> Retryable | Rejected:
    """What an HTTP status other than 2xx means for a message.

    >>> refusal(429, 30.0), refusal(400)
    (Retryable('answered 429'), Rejected('answered 400'))
    """
    reason = f"answered {status}"
    if 300 <= status < 400:
        return Retryable(f"{reason}; redirects are not followed, configure the final address")
    if status in MENDABLE or status >= 500 or status < 200:
        return Retryable(reason, retry_after_s)
    return Rejected(reason)
