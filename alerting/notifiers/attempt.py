"""One attempt to send one message, whatever the channel does."""

from __future__ import annotations

import asyncio

from alerting.message import Message
from alerting.notifiers.base import ATTEMPT_S, Notifier, Rejected, Retryable
from alerting.secret import SecretMissing


async def attempt(notifier: Notifier, message: Message) -> None:
    """Returns once the channel has taken the message; raises nothing but :class:`Retryable` and
    :class:`Rejected`, and nothing that could hold a secret."""
    try:
        async with asyncio.timeout(2 * ATTEMPT_S):
            await notifier.notify(message)
    except (Retryable, Rejected):
        raise
    except SecretMissing as missing:
        raise Retryable(str(missing)) from None
    except TimeoutError:
        raise Retryable("no answer in time") from None
    except Exception as error:  # noqa: BLE001 - whatever a channel does, the others go on
        # Its text is not ours and may hold anything; its type says where to look.
        raise Retryable(f"unexpected {type(error).__name__}") from None
