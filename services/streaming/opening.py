"""What settings name: the stream, its broker, how events are decoded, the dead letters."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from services.settings import Settings, SettingsError
from services.streaming.args import StreamArgs
from services.streaming.base import Broker
from services.streaming.connection import Credentials, connection
from services.streaming.dead_letter import DeadLetters
from services.streaming.scoring import Decode


def from_environment(
    settings: Settings, *, kafka: str = "", file: Path | None = None
) -> StreamArgs | None:
    """The stream that the environment names, or arguments instead; None if nobody names one.

    ``file`` is YAML with the fields of :class:`StreamArgs`. Raises :class:`SettingsError`, and
    OSError for a file that cannot be read.
    """
    file = file or settings.kafka_settings
    given = {} if file is None else _read(file)
    kafka = kafka or settings.kafka
    if kafka:
        given["bootstrap"] = kafka
    if settings.schema_registry:
        given = {"format": "avro", **given, "schema_registry": settings.schema_registry}
    if not given:
        return None
    try:
        return StreamArgs.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        where = f"{file}: " if file is not None and name in given else ""
        raise SettingsError(f"stream: {where}{name + ': ' if name else ''}{said}") from None


def open_broker(args: StreamArgs, settings: Settings) -> Broker:
    """Kafka, reached as ``args`` say, with the user and password of the environment.

    Raises :class:`services.streaming.base.StreamError` for settings that cannot work.
    """
    from services.streaming.kafka import KafkaBroker

    return KafkaBroker(connection(args, Credentials.of(settings)))


def open_decode(args: StreamArgs, settings: Settings) -> Decode | None:
    """How values become events; None: they are JSON."""
    if args.format == "json" or args.schema_registry is None:
        return None
    from services.streaming.avro import AvroDecode, SchemaRegistry

    name, password = settings.schema_registry_username, settings.schema_registry_password
    return AvroDecode(SchemaRegistry(args.schema_registry, (name, password) if name else None))


def open_dead_letters(args: StreamArgs, settings: Settings) -> DeadLetters:
    """The dead letters of a stream; raises as :func:`open_broker` does."""
    return DeadLetters(open_broker(args, settings), args.dead_letters)


def _read(file: Path) -> dict[str, object]:
    try:
        given = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"stream: {file}{line}: expected YAML") from None
    if not isinstance(given, dict):
        raise SettingsError(f"stream: {file}: expected settings by name, such as 'group: ztad'")
    return given
