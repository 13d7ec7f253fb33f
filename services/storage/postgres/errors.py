"""What can be wrong with a PostgreSQL, in one line that says where and what to do.

None of it is ``lasting``: whatever a person mends at the server, the store goes on by itself.
"""

from __future__ import annotations

import asyncpg

from services.storage.errors import StoreError, TooLong

#: What comes of a server that cannot be reached, or not in time.
AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
ERRORS = (*AWAY, asyncpg.PostgresError)

#: By the first letters of SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html), the more
#: exact first: what is wrong, and what to do about it.
_KNOWN = (
    ("28", "refuses this user", "set PGPASSWORD or PGPASSFILE, and see pg_hba.conf"),
    ("3D000", "has no such database", "create it: createdb --owner=USER NAME"),
    ("42501", "does not allow this user to do that", "make the user owner of the database"),
    ("53100", "no space left on its disk", "free space, or lower recorder.most_bytes"),
    ("53300", "takes no more connections", "raise max_connections; ztad needs 10"),
    ("25006", "takes no writes", "name the primary, not a standby"),
    ("55P03", "is locked by others", "end what holds its tables"),
    ("57P", "is stopping or starting", "start it again"),
    ("53", "is short of something", "see its log"),
    ("08", "does not answer", "start it, or correct ZTAD_DATABASE"),
    ("XX", "has trouble", "see its log, and whether its disk is well"),
)  # fmt: skip
#: The connection is of no use after one of these.
_LOST = ("08", "57P", "25006", "28", "3D000")


def told(error: Exception, where: str) -> StoreError | ValueError:
    """The StoreError behind an error of asyncpg or of the network; a ValueError where trying again
    is in vain because of what was to be kept."""
    if isinstance(error, ValueError):  # found by asyncpg
        return ValueError(str(error))
    if isinstance(error, asyncpg.QueryCanceledError):
        return TooLong(where, "takes too long to answer this", "ask for less at once")
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error, where)
    kind = "does not answer in time" if isinstance(error, TimeoutError) else "does not answer"
    mend = "start it, or correct ZTAD_DATABASE"
    return StoreError(where, f"{kind} ({type(error).__name__})", mend)


def lost(error: BaseException) -> bool:
    """Whether the connection it came from is of no use any more."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith(_LOST)
    return isinstance(error, AWAY) and not isinstance(error, ValueError)


def _of_server(error: asyncpg.PostgresError, where: str) -> StoreError | ValueError:
    code = str(error.sqlstate)
    if code.startswith("22"):
        return ValueError(str(error))
    for start, problem, mend in _KNOWN:
        if code.startswith(start):
            return StoreError(where, f"{problem} ({type(error).__name__})", mend)
    mend = "please report this line, it is our mistake"
    return StoreError(where, f"refuses what it is asked ({code} {error.args[0]})", mend)
