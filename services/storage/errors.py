"""What can be wrong with a store, in one line that names the file and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class StoreError(Exception):
    """A store that cannot be used; ``lasting`` when trying again without mending it is in vain."""

    def __init__(self, where: str, problem: str, mend: str, *, lasting: bool = False) -> None:
        super().__init__(f"{where}: {problem}; {mend}")
        self._parts = (where, problem, mend)
        self.lasting = lasting

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels between processes."""
        return _again, (type(self), self._parts, self.lasting)


def _again(kind: type[StoreError], parts: tuple[str, str, str], lasting: bool) -> StoreError:
    error = kind.__new__(kind)
    StoreError.__init__(error, *parts, lasting=lasting)
    return error


class TooLong(StoreError):
    """A question that takes longer than others may be kept waiting."""


class NewerSchema(StoreError):
    """The file was written by a later ztad than this one."""

    def __init__(self, where: str, found: str, known: str) -> None:
        super().__init__(
            where,
            f"has schema {found}, this ztad knows {known} at most",
            "use the ztad that wrote it ('ztad store downgrade' of that one leads back), or "
            "begin anew: move the file away, or name another database",
            lasting=True,
        )


class UnknownRevision(StoreError):
    """A schema that nobody has made."""

    def __init__(self, asked: str, known: Sequence[str]) -> None:
        super().__init__(
            f"revision {asked}", "there is no such one", f"name one of {', '.join(known)}, head"
        )


#: Primary result codes of SQLite (sqlite.org/rescode.html) that people can do something about.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FORBIDDEN = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def told(error: sqlite3.Error, path: Path | None) -> StoreError:
    """The StoreError behind an error of SQLite; ``path`` is None in memory."""
    where = str(path) if path else "store in memory"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return TooLong(where, "takes too long to answer this", "ask for less at once")
    if code in _DAMAGED:
        mend = "move the file and those beside it (-wal, -shm) away: a new one is begun at start"
        return StoreError(where, f"is damaged ({error})", mend, lasting=True)
    if code == sqlite3.SQLITE_FULL:
        mend = "free space, or lower recorder.most_bytes"
        return StoreError(where, "no space left on the disk", mend)
    if code in _FORBIDDEN:
        mend = "let this user write to the file and its folder"
        return StoreError(where, f"cannot be opened or written ({error})", mend)
    if code in _BUSY:
        mend = "stop the other process that writes to it"
        return StoreError(where, f"is in use ({error})", mend)
    if code == sqlite3.SQLITE_IOERR:
        mend = "see whether the disk is well"
        return StoreError(where, f"cannot be read or written ({error})", mend)
    mend = "please report this line, it is our mistake"
    return StoreError(where, f"refuses what it is asked ({error})", mend)
