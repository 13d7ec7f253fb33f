"""Who is at the other end of a request, and whether that is this machine itself."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from services.http import HttpError, Scope, header

#: Combinations of address, ``Host`` and ``Origin`` that need no second look.
_MOST_REMEMBERED = 64


def address_of(scope: Scope) -> str:
    """The peer's address; empty if there is none.

    Behind HAProxy that is HAProxy's own peer: it appends ``X-Forwarded-For`` (services/haproxy.py),
    and uvicorn reads that header from the right, past the proxies of ``FORWARDED_ALLOW_IPS``. What
    a client writes into it stands further left and is never reached.
    """
    client = scope.get("client")
    return str(client[0]) if client else ""


def origin_network(address: str) -> str:
    """What one caller can choose addresses from: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own; no name is.

    >>> is_loopback("127.0.0.53"), is_loopback("::1"), is_loopback("192.0.2.7"), is_loopback("")
    (True, True, False, False)
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback


class LoopbackOnly:
    """Lets in this machine's own requests alone, and of these none that a web page made.

    A page of another site reaches what listens on loopback through the browser of whoever looks at
    it: by a form, whose ``Origin`` gives it away, or by a name of its own that suddenly means
    127.0.0.1 (DNS rebinding), which stands in ``Host``.
    """

    def __init__(self) -> None:
        self._met: set[tuple[str, bytes | None, bytes | None]] = set()

    def check(self, scope: Scope) -> None:
        """Raises 403 for everybody else."""
        peer = (address_of(scope), header(scope, b"host"), header(scope, b"origin"))
        if peer in self._met:
            return
        self._refuse(*peer)
        if len(self._met) < _MOST_REMEMBERED:
            self._met.add(peer)

    def _refuse(self, address: str, host: bytes | None, origin: bytes | None) -> None:
        if not is_loopback(address):
            message = (
                "this gateway has no API keys and answers its own machine only, "
                f"not {address or 'an unknown address'}; make one with 'ztad keys create'"
            )
            raise HttpError(403, "client", message)
        asked = host.decode("latin-1") if host is not None else "localhost"
        if not _local_name(asked):
            raise HttpError(403, "host", "without API keys the name asked for must be localhost")
        if origin is not None and not _same_machine(origin.decode("latin-1"), asked):
            raise HttpError(403, "origin", "without API keys pages of other sites are refused")


def _local_name(host: str) -> bool:
    """``localhost``, a loopback address, or a name without a dot, which no other site can own."""
    name = _hostname(f"//{host}")
    return is_loopback(name) or name.endswith(".localhost") or bool(name and "." not in name)


def _same_machine(origin: str, host: str) -> bool:
    """``null``, the origin of sandboxed pages and files, is nobody's."""
    name = _hostname(origin)
    if is_loopback(name) or name == "localhost":
        return True
    return bool(name) and urlsplit(origin).netloc.lower() == host.lower()


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
