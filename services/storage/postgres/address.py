"""Where a PostgreSQL is: ``postgresql://user@host:port/name``, never with a password in it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

SCHEMES = ("postgresql", "postgres")
#: What may follow the ``?``, as libpq spells it; ``host`` is the folder of a Unix socket.
PARAMETERS = ("host", "sslmode", "sslrootcert", "sslcert", "sslkey")


def is_postgres(where: str) -> bool:
    """Whether a setting names a PostgreSQL rather than something else."""
    return where.partition("://")[0] in SCHEMES


def checked(address: str) -> str:
    """The address; raises ValueError with what is expected, without repeating a password.

    >>> checked("postgresql://ztad@db.example.com:5432/ztad?sslmode=verify-full")
    'postgresql://ztad@db.example.com:5432/ztad?sslmode=verify-full'
    """
    expected = "expected postgresql://user@host:port/name"
    try:
        parts = urlsplit(address)
        password, _ = parts.password, parts.port
    except ValueError:
        raise ValueError(expected) from None
    parameters = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if password is not None or "password" in parameters:
        raise ValueError("the password goes into PGPASSWORD or the file PGPASSFILE names, not here")
    if parts.scheme not in SCHEMES or not parts.path.strip("/") or parts.fragment:
        raise ValueError(expected)
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not known; after '?' go {', '.join(PARAMETERS)}")
    return address


def shown(address: str) -> str:
    """The address as a person recognises it, for logs and errors: without user and parameters.

    >>> shown("postgresql://ztad@db.example.com:5432/ztad?sslmode=verify-full")
    'postgresql://db.example.com:5432/ztad'
    """
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
