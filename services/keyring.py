"""The keys that a gateway knows right now, looked up by hash, reloaded when their file changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.keys import SCOPES, Key, KeysError, read

LOG = logging.getLogger("ztad.keys")


@dataclass(frozen=True, slots=True)
class Known:
    """One key as admission needs it; ``ends`` in seconds since the epoch."""

    name: str
    fingerprint: str
    scopes: frozenset[str]
    ends: float = float("inf")
    revoked: bool = False
    requests_per_s: float | None = None


class Keyring:
    """Keys of a file, and ``hashes`` (SHA-256, hexadecimal) of keys with every scope and no end.

    Raises ``services.keys.KeysError`` when the file is there and cannot be used, or when there is
    neither a file nor a hash: nobody could ever be admitted.
    """

    def __init__(self, file: Path | None, hashes: Iterable[str] = ()) -> None:
        self._file = file
        self._fixed = {bytes.fromhex(each): _unlimited(each) for each in hashes}
        self._seen: tuple[int, ...] = ()
        self._known = dict(self._fixed)
        if file is not None and (file.exists() or not self._fixed):
            self._seen = _version(file)
            self._load(file)
        elif not self._fixed:
            raise KeysError("no keys: name a keys file, see 'ztad keys create'")

    def find(self, digest: bytes) -> Known | None:
        """The key with that SHA-256.

        How long the look-up takes may depend on the digest. That tells nothing: who could choose
        digests by their first bytes would have broken SHA-256.
        """
        return self._known.get(digest)

    def refresh(self) -> None:
        """Read the file again if it changed. One that cannot be used changes nothing, but a line
        in the log."""
        if self._file is None:
            return
        version = _version(self._file)
        if version == self._seen:
            return
        self._seen = version
        try:
            self._load(self._file)
        except KeysError as error:
            LOG.error("the keys stay as they were: %s", error)
        else:
            LOG.warning("%d keys read anew from %s", len(self._known), self._file)

    def _load(self, file: Path) -> None:
        try:
            keys = read(file)
        except OSError as error:
            raise KeysError(f"{file}: {error.strerror}; see 'ztad keys create'") from None
        self._known = {bytes.fromhex(key.sha256): _known(key) for key in keys} | self._fixed


def _version(file: Path) -> tuple[int, ...]:
    """Changes with the content, also behind the symbolic links of a mounted secret; empty
    without the file."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _known(key: Key) -> Known:
    return Known(
        key.name,
        key.fingerprint,
        frozenset(key.scopes),
        key.ends,
        key.revoked is not None,
        key.requests_per_s,
    )


def _unlimited(sha256: str) -> Known:
    return Known(f"environment-{sha256[:8]}", sha256[:8], frozenset(SCOPES))
