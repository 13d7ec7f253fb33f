"""The broker and the dead letters that settings name."""

from __future__ import annotations

from services.settings import Settings
from services.streaming.args import StreamArgs
from services.streaming.base import Broker
from services.streaming.connection import Credentials, connection
from services.streaming.dead_letter import DeadLetters


def open_broker(args: StreamArgs, settings: Settings) -> Broker:
    """Kafka, reached as ``args`` say, with the user and password of the environment.

    Raises :class:`services.streaming.base.StreamError` for settings that cannot work.
    """
    from services.streaming.kafka import KafkaBroker

    return KafkaBroker(connection(args, Credentials.of(settings)))


def open_dead_letters(args: StreamArgs, settings: Settings) -> DeadLetters:
    """The dead letters of a stream; raises as :func:`open_broker` does."""
    return DeadLetters(open_broker(args, settings), args.dead_letters)


def from_environment(settings: Settings) -> StreamArgs | None:
    """The stream that the environment names, None if it names none."""
    if not settings.kafka:
        return None
    return StreamArgs(
        bootstrap=settings.kafka,
        format="avro" if settings.schema_registry else "json",
        schema_registry=settings.schema_registry or None,
    )
