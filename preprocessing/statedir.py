"""The directory a journaled history lives in: its lock, its snapshots and its journals.

``snapshot-N`` is the history as of the start of ``journal-N``. The history is the newest snapshot
with every journal of its number or above replayed in order; whatever is older is left over from a
process that died while cleaning up.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from preprocessing.appender import PRIVATE
from preprocessing.frames import framed, read
from preprocessing.history import HistoryError

_NAME = re.compile(r"(snapshot|journal)-(\d{8})(\.tmp)?")
_LOCK_POLL_S = 0.05


class HistoryLocked(HistoryError):
    """Another process uses the directory."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"the history in {path} is in use by process {holder or 'unknown'}; "
            "stop that one first (ztad stop), or use another state directory"
        )


class HistoryDamaged(HistoryError):
    """A file of the directory is not what was written."""

    def __init__(self, file: Path, problem: str) -> None:
        super().__init__(
            f"{file}: {problem}; put the directory {file.parent} back from a backup, or delete it "
            "to start again from the model bundle's history"
        )


class _About(msgspec.Struct, array_like=True):
    """First frame of a snapshot: its number, and SHA-256 of the history it all grew from."""

    number: int
    grown_from: str


_ABOUT = msgspec.msgpack.Decoder(_About)


class StateDirectory:
    """Exclusive use of one directory, made if absent, until ``close`` or the process ends.

    Raises :class:`HistoryLocked` when another process still has it after ``wait_s``.
    """

    def __init__(self, path: Path, *, wait_s: float) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(path, wait_s)
        for name in path.iterdir():
            if name.suffix == ".tmp" and _NAME.fullmatch(name.name):
                name.unlink()

    def close(self) -> None:
        os.close(self._lock)

    def newest_snapshot(self) -> int | None:
        """Number of the newest snapshot, None in a new directory."""
        return max(self._numbers("snapshot"), default=None)

    def journals(self, since: int) -> list[Path]:
        """Journals to replay on top of snapshot ``since``, in order."""
        numbers = sorted(number for number in self._numbers("journal") if number >= since)
        return [self.journal(number) for number in numbers]

    def next_number(self) -> int:
        """A number above all in use."""
        return 1 + max((*self._numbers("snapshot"), *self._numbers("journal")), default=-1)

    def journal(self, number: int) -> Path:
        return self.path / f"journal-{number:08d}"

    def write_snapshot(self, number: int, state: bytes, grown_from: str) -> None:
        """Write a snapshot, whole or not at all, safe against a loss of power too."""
        target = self.snapshot(number)
        temporary = target.with_name(target.name + ".tmp")
        about = msgspec.msgpack.encode(_About(number, grown_from))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(fd, "wb") as file:
            file.write(framed(about))
            file.write(framed(state))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
        _sync(self.path)

    def read_snapshot(self, number: int) -> tuple[bytes, str]:
        """The state of a snapshot, and what it grew from; raises :class:`HistoryDamaged`."""
        file = self.snapshot(number)
        frames = read(file.read_bytes())
        if len(frames.payloads) != 2 or frames.damaged or frames.torn_bytes:
            raise HistoryDamaged(file, "the snapshot was changed or cut off")
        try:
            about = _ABOUT.decode(frames.payloads[0])
        except msgspec.DecodeError as error:
            raise HistoryDamaged(file, f"not a history snapshot ({error})") from None
        return bytes(frames.payloads[1]), about.grown_from

    def drop_before(self, number: int) -> None:
        """Delete what snapshot ``number`` made superfluous."""
        for kind in ("journal", "snapshot"):
            for old in self._numbers(kind):
                if old < number:
                    (self.path / f"{kind}-{old:08d}").unlink(missing_ok=True)

    def snapshot(self, number: int) -> Path:
        return self.path / f"snapshot-{number:08d}"

    def _numbers(self, kind: str) -> Iterable[int]:
        found = (_NAME.fullmatch(name.name) for name in self.path.iterdir())
        return [int(m[2]) for m in found if m and m[1] == kind and m[3] is None]


def _locked(path: Path, wait_s: float) -> int:
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(_LOCK_POLL_S)
                continue
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise HistoryLocked(path, holder) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        return fd


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
