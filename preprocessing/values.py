"""The categorical values an event shows: one string per entry of ``history.CATEGORIES``."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final, get_args

from preprocessing.event import Action, AuthEvent, AuthKind

Values = tuple[str | None, ...]

_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"),
    ("Safari", "Safari"), ("curl", "curl"), ("python", "Python"), ("okhttp", "okhttp"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iOS"), ("iPad", "iOS"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("Macintosh", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip
_KINDS: Final = {
    kind: {action: f"{kind} {action}" for action in get_args(Action)} for kind in get_args(AuthKind)
}
_PRODUCT: Final = re.compile(r"[^\s/(;]+")


def values_of(event: AuthEvent) -> Values:
    """The event's values in the order of ``history.CATEGORIES``; None where absent."""
    country, ip, agent, mfa = event.country, event.source_ip, event.user_agent, event.mfa
    return (
        country.upper() if country else None,
        _autonomous_system(event.asn) if event.asn else (network(ip) if ip else None),
        event.resource or None,
        agent_family(agent) if agent else None,
        event.auth_method,
        _KINDS[event.auth_kind][event.action],
        event.device_id or None,
        ip or None,
        None if mfa is None else ("with MFA" if mfa else "without MFA"),
    )


@lru_cache(maxsize=1 << 16)
def _autonomous_system(asn: int) -> str:
    return f"AS{asn}"


@lru_cache(maxsize=1 << 16)
def network(ip: str) -> str | None:
    """The neighbourhood of an address where no ASN is known: /16 (IPv4) or /32 (IPv6).

    >>> network("91.197.232.109"), network("2001:db8:1:2::3")
    ('91.197.0.0/16', '2001:db8::/32')
    """
    try:
        address = ip_address(ip.strip())
    except ValueError:
        return None
    return str(ip_network((address, 16 if address.version == 4 else 32), strict=False))


@lru_cache(maxsize=1 << 14)
def agent_family(user_agent: str) -> str:
    """Browser and system family without versions, so that an update is no new device.

    >>> agent_family("Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0 Safari/537.36")
    'Chrome on Linux'
    >>> agent_family("NTLM/Network")
    'NTLM/Network'
    """
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), None)
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    if browser and system:
        return f"{browser} on {system}"
    if browser or system:
        return browser or system or ""
    product = _PRODUCT.match(user_agent)
    return user_agent[:64] if len(user_agent) <= 32 or not product else product.group()[:64]
