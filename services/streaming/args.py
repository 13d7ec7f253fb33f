"""Where events come from and verdicts go, and how the brokers are reached."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from services.streaming.base import Topic

Format = Literal["json", "avro"]
Security = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

#: What a dead letter may take: base64 of the largest message of a broker's default settings.
MOST_LETTER_BYTES = 2 << 20


class StreamArgs(BaseModel):
    """What a stream worker reads, writes, and how. User and password are no part of it: they come
    from the environment of the worker (``ZTAD_KAFKA_USERNAME``, ``ZTAD_KAFKA_PASSWORD``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    bootstrap: str
    """Brokers to begin with: ``HOST:PORT``, several with commas between them."""
    group: str = Field(default="ztad", min_length=1)
    """Consumer group that all workers join."""
    events: str = Field(default="ztad.events", min_length=1)
    """Topic of the events; key their messages by user, so that one user's events stay in order."""
    verdicts: str | None = "ztad.verdicts"
    """Topic that every verdict goes to, keyed by user; without it none."""
    alerts: str | None = "ztad.alerts"
    """Topic of the verdicts over the threshold; without it none."""
    dead_letters: str = Field(default="ztad.dead-letters", min_length=1)
    """Topic of the messages that cannot be scored, with the reason."""
    partitions: int = Field(default=6, ge=1)
    """Partitions of topics that are made because they are missing."""
    replicas: int | None = Field(default=None, ge=1)
    """Replicas of such topics; without it the brokers' own default."""
    format: Format = "json"
    """How events are written: JSON, or Avro in the framing of a schema registry."""
    schema_registry: str | None = None
    """``http(s)://HOST:PORT`` of the schema registry; Avro needs one."""
    security: Security = "plaintext"
    """How brokers are spoken to."""
    mechanism: Mechanism = "SCRAM-SHA-512"
    """How the user proves who it is, with a ``security`` of ``sasl_...``."""
    ca_file: str | None = None
    """Certificate authority of the brokers; without it those the system trusts."""
    cert_file: str | None = None
    """Certificate of ours, where brokers ask for one."""
    key_file: str | None = None
    """Key of that certificate."""
    batch_events: int = Field(default=2000, ge=1, le=10_000)
    """Most messages scored at once."""
    in_flight: int = Field(default=6, ge=1, le=16)
    """Batches under way at once: one is prepared while those before it are judged, recorded and
    published. Of small ones, when there is no backlog, three at most."""
    fuse_share: float = Field(default=0.5, gt=0, le=1)
    """The worker stops when more than this share of the last ``fuse_window`` messages are dead
    letters; 1: never."""
    fuse_window: int = Field(default=1000, ge=1)
    """How many messages the fuse looks back on."""
    fuse_least: int = Field(default=100, ge=1)
    """So many of them have to be dead letters."""

    @field_validator("bootstrap")
    @classmethod
    def _addresses(cls, text: str) -> str:
        for address in text.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit() or "@" in address or "/" in address:
                raise ValueError("expected HOST:PORT, several with commas between them")
        return text

    @field_validator("schema_registry")
    @classmethod
    def _registry(cls, address: str | None) -> str | None:
        if address is not None and not address.startswith(("http://", "https://")):
            raise ValueError("expected http(s)://HOST:PORT")
        if address is not None and "@" in address:
            raise ValueError(
                "name and password go into ZTAD_SCHEMA_REGISTRY_USERNAME and _PASSWORD"
            )
        return address

    @model_validator(mode="after")
    def _fits(self) -> StreamArgs:
        if self.format == "avro" and self.schema_registry is None:
            raise ValueError("schema_registry: expected http(s)://HOST:PORT, Avro needs it")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file: expected both or none")
        files = (self.ca_file, self.cert_file)
        if any(files) and self.security not in ("ssl", "sasl_ssl"):
            raise ValueError(f"security: {self.security} uses no certificates; expected ssl "
                             "or sasl_ssl")  # fmt: skip
        names = [name for name in (self.events, self.verdicts, self.alerts, self.dead_letters)
                 if name]  # fmt: skip
        if len(set(names)) < len(names):
            raise ValueError(f"topics: expected different names, got {', '.join(names)}")
        return self

    @property
    def topics(self) -> list[Topic]:
        """Every topic that is used, as it is made where it is missing."""
        out = [name for name in (self.events, self.verdicts, self.alerts) if name]
        return [
            *(Topic(name, self.partitions, replicas=self.replicas) for name in out),
            Topic(
                self.dead_letters,
                compacted=True,
                replicas=self.replicas,
                most_message_bytes=MOST_LETTER_BYTES,
            ),
        ]
