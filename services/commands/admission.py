"""Whom ``ztad serve`` lets in: API keys if there are any, else this machine alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from services.keys import Key, KeysError, key_hash, read
from services.peers import is_loopback
from services.settings import Settings

Auth = Literal["keys", "none"]
#: Shorter keys are not random ones, and a plain hash is for random ones.
LEAST_KEY_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Admission:
    """What ``AppArgs`` are told of keys, where to listen, and what an operator should know."""

    auth: Auth
    host: str
    arguments: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def decide(auth: Auth | None, host: str | None, settings: Settings) -> Admission:
    """``auth`` and ``host`` as asked for, None for the default. Raises ``KeysError``.

    Without ``auth`` it is ``keys`` as soon as there is one, also one that has ended: whoever made
    keys does not mean everybody once the last one is revoked.
    """
    kept = [] if auth == "none" else file_keys(settings)
    auth = auth or ("keys" if kept or settings.api_keys else "none")
    if auth == "none":
        return _this_machine(host or "127.0.0.1", settings)
    now = datetime.now(UTC)
    if not settings.api_keys and not any(key.in_force(now) for key in kept):
        what = f"every key in {settings.keys_path} has ended" if kept else "there is none yet"
        raise KeysError(
            f"serving with keys needs a key, and {what}: make one with 'ztad keys create', "
            "or set ZTAD_API_KEYS"
        )
    arguments = {
        "auth": "keys",
        "keys_file": str(settings.keys_path.resolve()),
        "api_key_hashes": [key_hash(key) for key in settings.api_keys],
        "audit_log": str(settings.audit_path.resolve()),
    }
    return Admission("keys", host or "0.0.0.0", arguments, _weak(settings))


def file_keys(settings: Settings) -> list[Key]:
    """The keys of the keys file; none without the file."""
    try:
        return list(read(settings.keys_path))
    except FileNotFoundError:
        return []


def _this_machine(host: str, settings: Settings) -> Admission:
    if not (is_loopback(host) or host == "localhost"):
        raise KeysError(f"listening on {host} needs keys: make one with 'ztad keys create'")
    note = "no API keys: only this machine is answered; 'ztad keys create' makes one"
    arguments = {"auth": "none", "audit_log": str(settings.audit_path.resolve())}
    return Admission("none", host, arguments, [note])


def _weak(settings: Settings) -> list[str]:
    if all(len(key) >= LEAST_KEY_CHARACTERS for key in settings.api_keys):
        return []
    what = f"ZTAD_API_KEYS has a key of fewer than {LEAST_KEY_CHARACTERS} characters"
    return [f"{what}: 'ztad keys create' makes one that nobody guesses"]
