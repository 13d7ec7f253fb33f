"""Which Redis, and which history in it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

#: Parts of an address behind its question mark.
_NAME, _CERTIFICATES = "name", "ssl_ca_certs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """``url`` is ``redis://[USER@]HOST:PORT/DB``, or ``rediss://`` for TLS; the password is no
    part of it. Several histories in one Redis have different names. Times in seconds.
    """

    url: str
    password: str = ""
    name: str = "default"
    timeout_s: float = 0.2
    """Longest wait for a connection, and for the answer to a batch."""
    patience_s: float = 10.0
    """Longest wait for an answer to what is done in the background."""
    keep_s: int = 30 * 86400
    """A history that nobody uses for so long is gone."""
    most_news_bytes: int = 1 << 20
    """Most of others' operations in one answer: about 2,500 events, a tenth of a second."""


def where_of(address: str, password: str = "") -> Where:
    """The history at an address such as ``redis://HOST:PORT/DB?name=NAME``; ``ssl_ca_certs=FILE``
    names the certificates of a private authority. Raises ValueError without telling a password.

    >>> where_of("redis://history:6379/0?name=prod").name
    'prod'
    """
    parts = urlsplit(address)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("expected redis://HOST:PORT/DB, or rediss:// for TLS")
    if parts.password is not None:
        raise ValueError("the password goes into ZTAD_REDIS_PASSWORD, not into the address")
    given = dict(parse_qsl(parts.query))
    unknown = sorted(given.keys() - {_NAME, _CERTIFICATES})
    if unknown:
        raise ValueError(f"expected {_NAME} and {_CERTIFICATES} behind the ?, got {unknown[0]}")
    name = given.pop(_NAME, "default")
    if not name or "}" in name:
        raise ValueError("expected a name without }")
    url = urlunsplit(parts._replace(query=urlencode(given), fragment=""))
    return Where(url=url, password=password, name=name)
