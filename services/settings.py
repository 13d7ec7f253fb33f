"""Settings from the environment: the only place that reads it. Every field says what it does."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.shared_history.address import where_of
from services.storage.postgres.address import checked


class SettingsError(ValueError):
    """A setting that cannot be used: which variable, and what is expected of it."""


class Settings(BaseModel):
    """What an operator sets once per machine, as ``ZTAD_<NAME>`` in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default_factory=lambda: Path.home() / ".local" / "share" / "ztad")
    """``ZTAD_HOME``: where run records, live history and the demo's files are kept."""

    api_keys: tuple[str, ...] = Field(default=(), repr=False)
    """``ZTAD_API_KEYS``: comma-separated keys, each of which may call every route, beside those of
    the keys file."""

    keys_file: Path | None = None
    """``ZTAD_KEYS_FILE``: where ``ztad keys`` keeps the API keys; without it ``keys.json`` in
    ``ZTAD_HOME``."""

    api_key: str = Field(default="", repr=False)
    """``ZTAD_API_KEY``: the key that ``ztad models`` and ``ztad routing`` call a gateway with."""

    registry: str = ""
    """``ZTAD_REGISTRY``: the MLflow server that keeps the model versions, as ``http(s)://HOST``,
    or a database as ``sqlite:///FILE``; without it ``registry/mlflow.db`` in ``ZTAD_HOME``."""

    history: str = ""
    """``ZTAD_HISTORY``: the Redis in which several machines share one history, as
    ``redis://HOST:PORT/DB`` or ``rediss://`` for TLS, with ``?name=NAME`` for one of several;
    without it the history is kept on this machine."""

    redis_password: str = Field(default="", repr=False)
    """``ZTAD_REDIS_PASSWORD``: the password of that Redis."""

    kafka: str = ""
    """``ZTAD_KAFKA``: the brokers that events come from, as ``HOST:PORT``."""

    kafka_settings: Path | None = None
    """``ZTAD_KAFKA_SETTINGS``: YAML file of all else about the stream: topics, group, TLS."""

    kafka_username: str = ""
    """``ZTAD_KAFKA_USERNAME``: who the brokers know us as (SASL)."""

    kafka_password: str = Field(default="", repr=False)
    """``ZTAD_KAFKA_PASSWORD``: that user's password."""

    schema_registry: str = ""
    """``ZTAD_SCHEMA_REGISTRY``: ``http(s)://HOST:PORT`` of the schema registry, where events are
    Avro."""

    database: str = ""
    """``ZTAD_DATABASE``: the PostgreSQL that keeps verdicts and alerts, as
    ``postgresql://user@host:port/name``; without it they are in files. The password is
    in ``PGPASSWORD``, or in the file that ``PGPASSFILE`` names."""

    schema_registry_username: str = ""
    """``ZTAD_SCHEMA_REGISTRY_USERNAME``: who the registry knows us as."""

    schema_registry_password: str = Field(default="", repr=False)
    """``ZTAD_SCHEMA_REGISTRY_PASSWORD``: that user's password."""

    log_format: Literal["json", "text"] | None = None
    """``ZTAD_LOG_FORMAT``: ``json`` or ``text``; without it text on a terminal, else JSON."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """``ZTAD_LOG_LEVEL``: the least that is logged."""

    log_stacks: bool = False
    """``ZTAD_LOG_STACKS``: whether an error is logged with its whole stack trace; else with its
    last line and where it happened."""

    run_id: str = ""
    """``ZTAD_RUN_ID``: set by ``ztad serve`` in all its processes, so that ``ztad stop`` finds
    them and no others."""

    @property
    def keys_path(self) -> Path:
        """The keys file, which need not exist."""
        return self.keys_file or self.home / "keys.json"

    @property
    def audit_path(self) -> Path:
        """The audit log of this machine."""
        return self.home / "audit.log"

    @field_validator("api_key")
    @classmethod
    def _sendable(cls, key: str) -> str:
        """Else the HTTP client would say what it cannot send, with the key in it."""
        if not re.fullmatch(r"[!-~]*", key):
            raise ValueError("expected a key of ASCII characters without spaces or line ends")
        return key

    @field_validator("registry")
    @classmethod
    def _without_secrets(cls, address: str) -> str:
        if address and not address.startswith(("http://", "https://", "sqlite:///")):
            raise ValueError("expected http(s)://HOST of an MLflow server, or sqlite:///FILE")
        if "@" in address:
            message = "name and password go into MLFLOW_TRACKING_USERNAME and _PASSWORD"
            raise ValueError(f"{message}, not into the address")
        return address

    @field_validator("history")
    @classmethod
    def _reachable(cls, address: str) -> str:
        if address:
            where_of(address)
        return address

    @field_validator("database")
    @classmethod
    def _of_postgres(cls, address: str) -> str:
        return checked(address) if address else address


#: Taken from the environment as they are.
_PLAIN = (
    "api_key", "database", "history", "kafka", "kafka_password", "kafka_settings",
    "kafka_username", "schema_registry_password", "schema_registry_username", "keys_file",
    "log_format", "log_level", "log_stacks", "redis_password", "registry", "run_id",
    "schema_registry",
)  # fmt: skip


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of an environment (default: the process's); raises :class:`SettingsError`."""
    env = os.environ if environment is None else environment
    given: dict[str, object] = {}
    if env.get("ZTAD_HOME"):
        given["home"] = env["ZTAD_HOME"]
    if env.get("ZTAD_API_KEYS"):
        keys = (key.strip() for key in env["ZTAD_API_KEYS"].split(","))
        given["api_keys"] = tuple(key for key in keys if key)
    for name in _PLAIN:
        if env.get(f"ZTAD_{name.upper()}"):
            given[name] = env[f"ZTAD_{name.upper()}"].strip()
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"ZTAD_{str(first['loc'][0]).upper()}"
        raise SettingsError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None
