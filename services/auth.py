"""Who may call the gateway, and how fast."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from math import ceil

from services.http import HttpError, Scope, header


class Guard:
    """Checks API keys (``Authorization: Bearer KEY`` or ``X-API-Key: KEY``) and a rate per key.

    Only hashes of keys are kept. Without keys everybody is let in: the gateway then listens on the
    loopback interface alone (see services/node.py). ``requests_per_s`` bounds each caller's rate;
    0 means no bound.
    """

    def __init__(
        self,
        key_hashes: Iterable[str],
        *,
        requests_per_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hashes = tuple(key_hashes)
        self._rate = requests_per_s
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, scope: Scope) -> None:
        """Raises 401 without or with an unknown key, and 429 over the rate."""
        if not self._hashes and not self._rate:
            return
        caller = self._caller(scope)
        if self._rate:
            self._spend(caller)

    def _caller(self, scope: Scope) -> str:
        if not self._hashes:
            return ""
        given = header(scope, b"authorization") or b""
        key = given[7:] if given[:7].lower() == b"bearer " else header(scope, b"x-api-key") or b""
        digest = key_hash(key.decode("latin-1").strip())
        if not any(hmac.compare_digest(digest, known) for known in self._hashes):
            message = "send a known API key as 'Authorization: Bearer KEY'"
            raise HttpError(401, "authorization", message)
        return digest

    def _spend(self, caller: str) -> None:
        """One token of the caller's bucket, which holds one second's worth and at least one."""
        now = self._clock()
        most = max(1.0, self._rate)
        tokens, at = self._buckets.get(caller, (most, now))
        tokens = min(most, tokens + (now - at) * self._rate)
        if tokens < 1.0:
            message = f"more than {self._rate:g} requests a second; slow down"
            wait_s = ceil((1.0 - tokens) / self._rate)
            raise HttpError(429, "rate", message, retry_after_s=wait_s)
        self._buckets[caller] = (tokens - 1.0, now)


def key_hash(key: str) -> str:
    """SHA-256 of a key, hexadecimal; what is kept and compared instead of the key."""
    return hashlib.sha256(key.encode()).hexdigest()
