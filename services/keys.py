"""API keys: what is kept of each, the file they are kept in, and how that file changes.

A key is 256 random bits behind ``ztad_``, a form that secret scanners find. Its plain SHA-256 is
enough to keep: salts and slow hashes are there for what people think up and others guess, and
nobody guesses 256 random bits, nor looks them up in a table.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

PREFIX = "ztad_"
Scope = Literal["score", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
#: A key that ended longer ago than this leaves the file with the next change of it.
KEPT_ENDED = timedelta(days=90)

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
_SPAN = re.compile(r"(\d{1,6})([smhd])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class KeysError(ValueError):
    """A keys file that cannot be used, or a change of it that makes no sense; says what to do."""


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True,
          forbid_unknown_fields=True):  # fmt: skip
    """What is known of one key. Rotated keys share their name, which is who audit lines speak of.

    ``requests_per_s`` (absent: the gateway's default) bounds all keys of a name together.
    """

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)]
    created: Time
    expires: Time | None = None
    requests_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    revoked: Time | None = None

    @property
    def fingerprint(self) -> str:
        """Tells keys of one name apart; the first eight digits of the hash."""
        return self.sha256[:8]

    @property
    def ends(self) -> float:
        """Seconds since the epoch from which on it is refused; infinity if there is no end."""
        ends = [each.timestamp() for each in (self.expires, self.revoked) if each is not None]
        return min(ends, default=float("inf"))

    def in_force(self, now: datetime) -> bool:
        return now.timestamp() < self.ends


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[Key, ...]
    version: Literal[1] = 1


def key_hash(key: str) -> str:
    """SHA-256 of a key, hexadecimal; what is kept and looked up instead of the key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read(path: Path) -> tuple[Key, ...]:
    """The keys of a file; raises :class:`KeysError` and, without the file, FileNotFoundError.

    On a mounted secret, which is a symbolic link, only writing by others is refused; whose file
    it is and who may read it is then not ours to say. The same goes for other people's files.
    """
    with path.open("rb") as file:
        _check_mode(path, os.fstat(file.fileno()))
        content = file.read()
    try:
        keys = msgspec.json.decode(content, type=_Document).keys
    except msgspec.DecodeError as error:
        raise KeysError(f"{path}: {error}") from None
    hashes = [key.sha256 for key in keys]
    if len(set(hashes)) < len(hashes):
        raise KeysError(f"{path}: one key stands there twice; remove the second entry")
    return keys


def _check_mode(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    ours = status.st_uid == os.geteuid() and not path.is_symlink()
    if mode & (0o077 if ours else 0o022):
        raise KeysError(f"{path}: others have access (mode {mode:o}); run 'chmod 600 {path}'")


@contextmanager
def changing(path: Path) -> Iterator[list[Key]]:
    """The keys of a file, written back at the end; one process at a time, and all or nothing."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read(path)) if path.exists() else []
        yield keys
        _write(path, tuple(keys))
    finally:
        os.close(lock)


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    content = msgspec.json.format(msgspec.json.encode(_Document(keys)), indent=1) + b"\n"
    try:
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def create(
    path: Path,
    name: str,
    *,
    scopes: tuple[Scope, ...],
    expires: datetime | None,
    requests_per_s: float | None = None,
    now: datetime | None = None,
) -> str:
    """Add a key and return it: the only time it is seen. Raises :class:`KeysError`."""
    now = now or datetime.now(UTC)
    if not re.fullmatch(_NAME, name):
        raise KeysError(f"{name!r} is no name: letters, digits and ._@- are, at most 64 of them")
    if requests_per_s is not None and not (isfinite(requests_per_s) and requests_per_s > 0):
        raise KeysError(f"{requests_per_s:g} requests a second: expected more than 0")
    secret = _new_key()
    with changing(path) as keys:
        if any(key.name == name and key.in_force(now) for key in keys):
            raise KeysError(f"there is a key {name!r}: choose another name, or rotate it")
        _forget_ended(keys, now)
        keys.append(
            Key(
                name=name,
                sha256=key_hash(secret),
                scopes=tuple(scope for scope in SCOPES if scope in scopes),
                created=now,
                expires=expires,
                requests_per_s=requests_per_s,
            )
        )
    return secret


def rotate(path: Path, name: str, *, grace: timedelta, now: datetime | None = None) -> str:
    """A new key like the newest of that name; those before it go on until ``grace`` is over.

    The new key lives as long as the old one was meant to. Raises :class:`KeysError`.
    """
    now = now or datetime.now(UTC)
    secret = _new_key()
    with changing(path) as keys:
        old = _in_force(path, keys, name, now)[-1]
        life = old.expires - old.created if old.expires is not None else None
        for index, key in enumerate(keys):
            if key.name == name and key.in_force(now):
                ends = min(key.expires or now + grace, now + grace)
                keys[index] = msgspec.structs.replace(key, expires=ends)
        _forget_ended(keys, now)
        keys.append(
            msgspec.structs.replace(
                old,
                sha256=key_hash(secret),
                created=now,
                expires=now + life if life is not None else None,
            )
        )
    return secret


def revoke(path: Path, name: str, *, now: datetime | None = None) -> int:
    """End every key of a name at once; how many those were. Raises :class:`KeysError`."""
    now = now or datetime.now(UTC)
    with changing(path) as keys:
        ending = _in_force(path, keys, name, now)
        for index, key in enumerate(keys):
            if key in ending:
                keys[index] = msgspec.structs.replace(key, revoked=now)
    return len(ending)


def span(text: str) -> timedelta:
    """A span of time.

    >>> span("90d"), span("12h")
    (datetime.timedelta(days=90), datetime.timedelta(seconds=43200))
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise KeysError(f"{text!r} is no span of time: expected such as 90d, 12h, 30m or 45s")
    return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])


def _in_force(path: Path, keys: list[Key], name: str, now: datetime) -> list[Key]:
    found = [key for key in keys if key.name == name and key.in_force(now)]
    if not found:
        names = sorted({key.name for key in keys if key.in_force(now)})
        raise KeysError(
            f"{path}: no key {name!r} is in force; there is {', '.join(names) or 'none'}"
        )
    return found


def _forget_ended(keys: list[Key], now: datetime) -> None:
    keys[:] = [key for key in keys if key.ends > (now - KEPT_ENDED).timestamp()]


def _new_key() -> str:
    return PREFIX + secrets.token_hex(32)
