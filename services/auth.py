"""Who may call the gateway, for what, and how fast."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil

from services.audit import LOG, Audit, Entry, What
from services.http import HttpError, Scope, header
from services.keyring import Keyring, Known
from services.limits import Buckets
from services.peers import LoopbackOnly, address_of, origin_network
from services.routes.base import Request, Route

#: How often a changed keys file is looked for, seconds.
LOOK_EVERY_S = 1.0
#: Wrong keys that one address may send a minute before it is told to slow down. Nobody finds 256
#: bits by trying; this keeps a client with an old key, or a scanner, from being a load.
UNKNOWN_KEYS_A_MINUTE = 10.0

_CHALLENGE = ((b"www-authenticate", b'Bearer realm="ztad"'),)


class Guard:
    """Checks a key (``Authorization: Bearer KEY`` or ``X-API-Key: KEY``), its scope and its rate.

    Without ``keys`` only this machine's own requests are answered, whatever they ask for.
    ``requests_per_s`` is the rate of callers whose key names none; 0 means no bound. It holds in
    one gateway replica: a caller of two replicas may be twice as fast. ``clock`` counts seconds
    for rates, ``now`` seconds since the epoch for keys that end.
    """

    def __init__(
        self,
        keys: Keyring | None = None,
        *,
        requests_per_s: float = 0.0,
        audit: Audit | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._rate = requests_per_s
        self._audit = audit or Audit(LOG.warning)
        self._now = now
        self._rates = Buckets(clock)
        self._unknown_keys = Buckets(clock)
        self._loopback = LoopbackOnly() if keys is None else None

    def meet(self, request: Request) -> None:
        """Before anything else of a request is looked at: 403 if it comes from elsewhere."""
        if self._loopback is None:
            return
        try:
            self._loopback.check(request.scope)
        except HttpError as error:
            self._tell(request, None, error, "other_machine")
            raise

    def admit(self, request: Request, route: Route) -> None:
        """Raises 401 without a key in force, 403 if it lacks the route's scope, and 429 over the
        rate; else ``request.caller`` is the name of the key."""
        if route.access == "open":
            return
        known = None
        if self._keys is not None:
            known = self._known(self._keys, request, route)
            request.caller, request.key = known.name, known.fingerprint
            if route.access not in known.scopes:
                may = ", ".join(sorted(known.scopes))
                message = f"the key {known.name!r} may {may}; this needs a key that may "
                error = HttpError(403, "scope", message + route.access)
                raise self._tell(request, route, error, "lacks_scope")
        rate = self._rate if known is None else known.requests_per_s or self._rate
        if rate:
            self._spend(request, route, rate)

    def acted(self, request: Request, route: Route, status: int) -> None:
        """After something was changed, or that was tried: its line in the audit log."""
        self._audit.done(
            _entry(request, route, status, "admin", target=request.params.get("id", ""))
        )

    async def watch(self) -> None:
        """For as long as the gateway runs: changed keys, and what the audit log left out."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._keys is not None:
                await asyncio.to_thread(self._keys.refresh)
            self._audit.tell_suppressed()

    def _known(self, keys: Keyring, request: Request, route: Route) -> Known:
        key = _key(request.scope)
        if not key:
            error = _unauthorized("send an API key as 'Authorization: Bearer KEY'")
            raise self._tell(request, route, error, "no_key")
        known = keys.find(hashlib.sha256(key).digest())
        if known is None:
            raise self._unknown(request, route)
        if self._now() >= known.ends:
            raise self._ended(request, route, known)
        return known

    def _unknown(self, request: Request, route: Route) -> HttpError:
        """Only wrong keys are slowed down: whoever shares the address and has a key is let in."""
        network = origin_network(address_of(request.scope))
        per_s, burst = UNKNOWN_KEYS_A_MINUTE / 60, UNKNOWN_KEYS_A_MINUTE
        wait_s = self._unknown_keys.spend(network, per_s=per_s, burst=burst)
        if not wait_s:
            error = _unauthorized("this API key is not known")
            return self._tell(request, route, error, "unknown_key")
        message = f"more than {UNKNOWN_KEYS_A_MINUTE:g} unknown API keys a minute; check the key"
        error = HttpError(429, "authorization", message, retry_after_s=ceil(wait_s))
        return self._tell(request, route, error, "too_many_unknown_keys")

    def _ended(self, request: Request, route: Route, known: Known) -> HttpError:
        """Told only to who holds the key itself, so it gives nothing away."""
        request.caller, request.key = known.name, known.fingerprint
        at = datetime.fromtimestamp(known.ends, UTC).isoformat(timespec="seconds")
        how: What = "revoked_key" if known.revoked else "expired_key"
        error = _unauthorized(
            f"this API key {'was revoked' if known.revoked else 'expired'} at {at}"
        )
        return self._tell(request, route, error, how)

    def _spend(self, request: Request, route: Route, rate: float) -> None:
        """One token of the caller's bucket, which holds one second's worth and at least one."""
        wait_s = self._rates.spend(request.caller, per_s=rate, burst=rate)
        if wait_s:
            message = f"more than {rate:g} requests a second; slow down"
            error = HttpError(429, "rate", message, retry_after_s=ceil(wait_s))
            raise self._tell(request, route, error, "over_rate")

    def _tell(
        self, request: Request, route: Route | None, error: HttpError, what: What
    ) -> HttpError:
        self._audit.refused(_entry(request, route, error.status, what))
        return error


def _entry(
    request: Request, route: Route | None, status: int, what: What, *, target: str = ""
) -> Entry:
    return Entry(
        what=what,
        status=status,
        caller=request.caller,
        key=request.key,
        address=address_of(request.scope),
        method=request.scope["method"],
        route=route.path if route is not None else "",
        target=target[:128],
        trace_id=request.trace_id,
    )


def _key(scope: Scope) -> bytes:
    given = header(scope, b"authorization") or b""
    key = given[7:] if given[:7].lower() == b"bearer " else header(scope, b"x-api-key") or b""
    return key.strip()


def _unauthorized(message: str) -> HttpError:
    return HttpError(401, "authorization", message, headers=_CHALLENGE)
