"""Channels. A notifier is one file here and one line in ``NOTIFIERS``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerting.notifiers.base import ChannelSettings, Notifier
    from alerting.secret import Secrets

#: ``type`` in the rules file -> ``module:Class`` of the notifier; imported when it is used.
NOTIFIERS: dict[str, str] = {
    "email": "alerting.notifiers.email:EmailNotifier",
    "chat": "alerting.notifiers.chat:ChatNotifier",
    "webhook": "alerting.notifiers.webhook:WebhookNotifier",
    "memory": "alerting.notifiers.memory:MemoryNotifier",
}


def notifier_type(name: str) -> type[Notifier]:
    """The class of a notifier type; raises KeyError."""
    module, _, attribute = NOTIFIERS[name].partition(":")
    found: type[Notifier] = getattr(import_module(module), attribute)
    return found


def make(name: str, settings: ChannelSettings, secrets: Secrets) -> Notifier:
    """The notifier of one channel. Reads no secret yet."""
    return notifier_type(settings.type)(name, settings, secrets)
