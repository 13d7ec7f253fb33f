"""How librdkafka reaches the brokers, made of our settings; and who we are to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from services.settings import Settings
from services.streaming.args import StreamArgs
from services.streaming.base import StreamError

CLIENT_ID = "ztad"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to the brokers; never part of settings that are written down or shown."""

    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Credentials:
        """Those of the environment of this process."""
        return cls(settings.kafka_username, settings.kafka_password)


def connection(args: StreamArgs, credentials: Credentials) -> dict[str, str]:
    """librdkafka's settings; raises :class:`StreamError` for what cannot work.

    >>> connection(StreamArgs(bootstrap="kafka:9092"), Credentials())["security.protocol"]
    'plaintext'
    """
    settings = {
        "bootstrap.servers": args.bootstrap,
        "client.id": CLIENT_ID,
        "security.protocol": args.security,
    }
    files = {
        "ssl.ca.location": args.ca_file,
        "ssl.certificate.location": args.cert_file,
        "ssl.key.location": args.key_file,
    }
    for name, path in files.items():
        if path is not None:
            settings[name] = str(_readable(Path(path)))
    if args.security.startswith("sasl"):
        if not (credentials.username and credentials.password):
            raise StreamError(
                f"security: {args.security} needs ZTAD_KAFKA_USERNAME and ZTAD_KAFKA_PASSWORD"
            )
        settings["sasl.mechanism"] = args.mechanism
        settings["sasl.username"] = credentials.username
        settings["sasl.password"] = credentials.password
    return settings


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise StreamError(f"{path}: {error.strerror}") from None
    return path
