"""The audit log: who was refused, and who changed what. JSON lines, never a key, never a query."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

LOG = logging.getLogger("ztad.audit")

#: Lines a minute about one caller from one address for one reason; the rest is only counted.
LINES_A_MINUTE = 10
#: Different callers a minute with lines of their own; the rest is counted together.
MOST_CALLERS = 256
#: The file is moved aside once it is larger.
MOST_BYTES = 16 * 1024 * 1024
#: Files moved aside: ``audit.log.1`` (the newest), ``audit.log.2`` and so on.
OLDER_FILES = 5
#: Stands for standard output instead of a file.
STDOUT = "-"

What = Literal[
    "no_key", "unknown_key", "too_many_unknown_keys", "expired_key", "revoked_key", "lacks_scope",
    "over_rate", "other_machine", "admin", "key_created", "key_rotated", "key_revoked",
]  # fmt: skip
"""Why a request was refused, or what was done."""

Write = Callable[[str], None]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened.

    ``caller`` is the name of the key and ``key`` the fingerprint of it; ``route`` the template of
    the path, never what was asked for; ``target`` what stood in the place of its ``{id}``, for
    changes alone.
    """

    what: What
    status: int
    caller: str = ""
    key: str = ""
    address: str = ""
    method: str = ""
    route: str = ""
    target: str = ""
    trace_id: str = ""


class Audit:
    """Writes entries; of refusals a number alone once a caller has had its share of lines.

    ``write`` is given one line without its end. ``clock`` in seconds since the epoch.
    """

    def __init__(self, write: Write, clock: Callable[[], float] = time.time) -> None:
        self._write = write
        self._clock = clock
        self._minute = 0
        self._counts: dict[tuple[str, str, str], int] = {}
        self._others = 0

    def done(self, entry: Entry) -> None:
        """Something was changed, or that was tried: always a line."""
        self._line(msgspec.structs.asdict(entry))

    def refused(self, entry: Entry) -> None:
        """A request was refused: a line, or one more for :meth:`tell_suppressed` to tell of."""
        self.tell_suppressed()
        who = (entry.caller, entry.address, entry.what)
        count = self._counts.get(who, 0) + 1
        if count == 1 and len(self._counts) >= MOST_CALLERS:
            self._others += 1
            return
        self._counts[who] = count
        if count <= LINES_A_MINUTE:
            self._line(msgspec.structs.asdict(entry))

    def tell_suppressed(self) -> None:
        """Once a minute is over: how often who was refused beside the lines. Call it regularly."""
        minute = int(self._clock() // 60)
        if minute == self._minute:
            return
        self._minute = minute
        counts, self._counts = self._counts, {}
        others, self._others = self._others, 0
        for (caller, address, what), count in counts.items():
            if count > LINES_A_MINUTE:
                more = count - LINES_A_MINUTE
                self._line({"what": what, "caller": caller, "address": address, "suppressed": more})
        if others:
            self._line({"what": "refused", "suppressed": others})

    def _line(self, told: dict[str, Any]) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        dated = {"time": now.replace("+00:00", "Z"), **told}
        self._write(msgspec.json.encode(dated).decode())


def destination(where: str | None) -> Write:
    """What writes to a file, to standard output (``-``), or without either to the program's log."""
    if where is None:
        return LOG.warning
    if where == STDOUT:
        return lambda line: print(line, flush=True)
    return AuditFile(Path(where))


def together(*writes: Write) -> Write:
    """What writes a line to each of several."""

    def write(line: str) -> None:
        for each in writes:
            each(line)

    return write


class AuditFile:
    """Appends lines to a file that several processes share, and moves it aside once it is large.

    The file is opened for each line: there are few of them, and whoever else moves it, as
    logrotate does, needs to tell nobody.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, line: str) -> None:
        """Without a line in it, the log would be no reason to refuse what is allowed: a full disk
        is told in the program's log instead."""
        try:
            if self._append(f"{line}\n".encode()) > self._most_bytes:
                self._move_aside()
        except OSError as error:
            LOG.error("audit line not written to %s (%s): %s", self._path, error.strerror, line)

    def _append(self, line: bytes) -> int:
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line)
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _move_aside(self) -> None:
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path.stat().st_size > self._most_bytes:  # nobody else has done it
                for number in range(OLDER_FILES - 1, 0, -1):
                    with suppress(FileNotFoundError):
                        self._older(number).replace(self._older(number + 1))
                self._path.replace(self._older(1))
        finally:
            os.close(lock)

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
