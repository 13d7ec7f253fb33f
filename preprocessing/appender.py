"""Appends to a file without ever making the caller wait for a disk."""

from __future__ import annotations

import logging
import os
import threading
from itertools import takewhile
from pathlib import Path

from preprocessing.frames import framed

_LOG = logging.getLogger(__name__)

#: Files hold names of users: nobody else on the machine may read them.
PRIVATE = 0o600


class Appender:
    """Payloads in, frames appended to one file by a thread, at the latest ``flush_s`` later.

    What a write handed to the operating system survives the death of this process, not a loss of
    power. While writing fails (a full disk), payloads wait and are tried again; beyond
    ``most_queued_bytes`` they are given up and ``lost`` counts them: then only a snapshot makes
    the record complete again. ``error`` says why writing fails, None while it does not.
    """

    def __init__(self, path: Path, *, flush_s: float, most_queued_bytes: int) -> None:
        self.lost = 0
        self.error: str | None = None
        self._flush_s = flush_s
        self._most_queued_bytes = most_queued_bytes
        #: A path among the payloads: from here on into this file.
        self._queue: list[bytes | Path] = []
        self._queued_bytes = 0
        self._queueing = threading.Lock()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._fd = _open(path)
        self._size = 0
        self._thread = threading.Thread(target=self._run, name="history-journal", daemon=True)
        self._thread.start()

    def append(self, payload: bytes) -> None:
        """Queue one payload. Never waits for the disk, never raises for its sake."""
        with self._queueing:
            if self._queued_bytes > self._most_queued_bytes:
                self._give_up()
            self._queue.append(payload)
            self._queued_bytes += len(payload)

    def switch(self, path: Path) -> None:
        """What is appended from now on goes into a new file."""
        with self._queueing:
            self._queue.append(path)

    def flush(self) -> None:
        """Hand everything queued to the operating system now; ``error`` says if that failed."""
        with self._writing:
            self._drain()

    def close(self) -> None:
        """Flush and end the thread."""
        self._stop.set()
        self._thread.join()
        self.flush()
        os.close(self._fd)

    def _run(self) -> None:
        while not self._stop.wait(self._flush_s):
            if self._queue:
                self.flush()

    def _drain(self) -> None:
        with self._queueing:
            waiting, self._queue = self._queue, []
            self._queued_bytes = 0
        try:
            while waiting:
                self._write_some(waiting)
        except OSError as error:
            self._failed(error)
            with self._queueing:
                self._queue = waiting + self._queue
                self._queued_bytes += sum(len(p) for p in waiting if isinstance(p, bytes))
            return
        if self.error is not None:
            _LOG.warning("history journal: writing again")
            self.error = None

    def _write_some(self, waiting: list[bytes | Path]) -> None:
        """Take from the front what goes into the current file, or the next file."""
        first = waiting[0]
        if isinstance(first, Path):
            fd = _open(first)
            os.close(self._fd)
            self._fd, self._size = fd, 0
            del waiting[0]
            return
        payloads = list(takewhile(lambda item: isinstance(item, bytes), waiting))
        self._write(b"".join(framed(p) for p in payloads if isinstance(p, bytes)))
        del waiting[: len(payloads)]

    def _write(self, chunk: bytes) -> None:
        """Write all of it, or leave the file as it was and raise OSError."""
        write_whole(self._fd, chunk, self._size)
        self._size += len(chunk)

    def _failed(self, error: OSError) -> None:
        if self.error is None:
            _LOG.error("history journal: cannot write (%s); scoring goes on, trying again", error)
        self.error = str(error)

    def _give_up(self) -> None:
        """Drop the payloads that wait; a new file is still begun."""
        payloads = [item for item in self._queue if isinstance(item, bytes)]
        self.lost += len(payloads)
        _LOG.error("history journal: %d records given up (%s)", len(payloads), self.error)
        self._queue = [item for item in self._queue if isinstance(item, Path)]
        self._queued_bytes = 0


def write_whole(file: int, chunk: bytes, size: int) -> None:
    """Write all of it at the end of a file of that size, or leave the file as it was and raise
    OSError."""
    view = memoryview(chunk)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError:
        os.ftruncate(file, size)
        os.lseek(file, size, os.SEEK_SET)
        raise


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
