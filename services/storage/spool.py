"""``Spool``: verdicts that wait on the disk for their store, in the order in which they came.

A folder of segments, each a file of frames (``preprocessing/frames.py``), each frame the verdicts
of one call. What was written survives the death of the process; a loss of power takes what was not
forced to the disk before. A segment is written by one process only, and removed as a whole once
the store has all of it: what a crash in between leaves is written to the store again, where the
first verdict of an event stays.
"""

from __future__ import annotations

import logging
import os
import time
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from preprocessing.appender import PRIVATE, write_whole
from preprocessing.frames import Frames, framed, read
from services.storage.errors import StoreError
from services.wire import Recorded

LOG = logging.getLogger("ztad.spool")

#: The folder beside the files of the store.
SPOOL_NAME = "spool"
SUFFIX = ".spool"
#: A segment takes no more once it is larger: as much as goes into the store in half a second.
SEGMENT_BYTES = 16 << 20


class _Ids(msgspec.Struct):
    """What of a batch is needed to find it again."""

    event_ids: list[str]
    shadow: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Recorded]).decode
_decode_ids = msgspec.msgpack.Decoder(list[_Ids]).decode


@dataclass(slots=True)
class _Segment:
    """One file, and where the verdicts are in it that were somebody's answer: 32 bytes each.

    ``starts`` are the places of its frames; verdict n has ``hashes[n]`` of its event id and is in
    frame ``frames[n]``. ``since_s`` is when it was begun, seconds since the epoch.
    """

    path: Path
    since_s: float
    size: int = 0
    verdicts: int = 0
    starts: array[int] = field(default_factory=lambda: array("q"))
    hashes: array[int] = field(default_factory=lambda: array("q"))
    frames: array[int] = field(default_factory=lambda: array("q"))
    sorted: tuple[NDArray[np.int64], NDArray[np.intp]] | None = None

    def add(self, start: int, batches: Iterable[Recorded | _Ids]) -> None:
        """Remember what is in the frame that begins at ``start``."""
        self.starts.append(start)
        for batch in batches:
            self.verdicts += len(batch.event_ids)
            if not batch.shadow:
                self.hashes.extend(map(hash, batch.event_ids))
        self.frames.extend([len(self.starts) - 1] * (len(self.hashes) - len(self.frames)))
        self.sorted = None

    def places(self, hashes: NDArray[np.int64]) -> list[int]:
        """The frames that may hold events of these hashes, the oldest first."""
        if self.sorted is None:
            known = np.array(self.hashes, np.int64)
            order = np.argsort(known, kind="stable")
            self.sorted = known[order], order
        known, order = self.sorted
        left = np.searchsorted(known, hashes, "left")
        right = np.searchsorted(known, hashes, "right")
        spans = zip(left.tolist(), right.tolist(), strict=True)
        rows = {int(order[at]) for first, end in spans for at in range(first, end)}
        return sorted({self.frames[row] for row in rows})

    def frame(self, number: int) -> list[Recorded]:
        """The batches of a frame; none if it was damaged meanwhile."""
        start = self.starts[number]
        end = self.starts[number + 1] if number + 1 < len(self.starts) else self.size
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return _batches(read(file.read(end - start)))
        except OSError as error:
            LOG.error("%s cannot be read: %s", self.path, error.strerror)
            return []


class Spool:
    """Verdicts in ``folder``, at most ``most_bytes`` of them. One thread at a time.

    ``forced``: everything is on the disk when :meth:`append` returns; otherwise the operating
    system has it, until :meth:`sync`. ``damaged`` counts the stretches that could not be read.
    Raises :class:`StoreError`.
    """

    def __init__(self, folder: Path, most_bytes: int, *, forced: bool) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._forced = forced
        self._file: int | None = None
        self._dirty = False
        self.damaged = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            paths = sorted(folder.glob(f"*{SUFFIX}"))
            self._segments = [self._restored(path) for path in paths]
        except OSError as error:
            raise _trouble(folder, error) from error
        self._next = int(paths[-1].stem) + 1 if paths else 0

    @property
    def segments(self) -> int:
        return len(self._segments)

    @property
    def verdicts(self) -> int:
        """How many wait."""
        return sum(segment.verdicts for segment in self._segments)

    @property
    def size_bytes(self) -> int:
        """What they take on the disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def since_s(self) -> float | None:
        """When the oldest came, in seconds since the epoch."""
        return next((segment.since_s for segment in self._segments), None)

    def append(self, batches: Sequence[Recorded]) -> None:
        """Put verdicts behind the others: all of them, or none and :class:`StoreError`."""
        chunk = framed(_encode(batches))
        if self._segments and self.size_bytes + len(chunk) > self._most_bytes:
            mend = "mend the store, free space, or raise recorder.most_spool_bytes"
            raise StoreError(str(self._folder), "the spool is full", mend)
        try:
            file, segment = self._open()
            write_whole(file, chunk, segment.size)
            if self._forced:
                os.fdatasync(file)
        except OSError as error:
            self._abandon()
            raise _trouble(self._folder, error) from error
        self._dirty = not self._forced
        segment.add(segment.size, batches)
        segment.size += len(chunk)
        if segment.size >= SEGMENT_BYTES:
            self._seal()

    def sync(self) -> None:
        """Force to the disk what the operating system has."""
        if self._file is not None and self._dirty:
            os.fdatasync(self._file)
            self._dirty = False

    def oldest(self) -> list[Recorded]:
        """The batches of the oldest segment, which takes no more from now on."""
        if not self._segments:
            return []
        if len(self._segments) == 1:
            self._seal()
        segment = self._segments[0]
        try:
            batches = _batches(read(segment.path.read_bytes()))
        except FileNotFoundError:
            batches = []
        except OSError as error:
            raise _trouble(segment.path, error) from error
        missing = segment.verdicts - sum(len(batch.event_ids) for batch in batches)
        if missing:
            LOG.error("%s: damaged, %d verdicts are lost", segment.path, missing)
            self.damaged += 1
        return batches

    def drop_oldest(self) -> int:
        """The store has the oldest segment; returns how many verdicts it had."""
        if not self._segments:
            return 0
        segment = self._segments[0]
        segment.path.unlink(missing_ok=True)
        del self._segments[0]
        return segment.verdicts

    def find(self, event_ids: Iterable[str]) -> dict[str, Recorded]:
        """The batches with the first verdicts of those events that wait here."""
        wanted = set(event_ids)
        hashes = np.array([hash(event_id) for event_id in wanted], np.int64)
        found: dict[str, Recorded] = {}
        for segment in self._segments:
            for number in segment.places(hashes):
                for batch in segment.frame(number):
                    if not batch.shadow:
                        for event_id in wanted.intersection(batch.event_ids):
                            found.setdefault(event_id, batch)
        return found

    def close(self) -> None:
        """Force what there is to the disk; nothing may be called after it."""
        self._seal()

    def _open(self) -> tuple[int, _Segment]:
        """The segment that is being written, a new one if there is none."""
        if self._file is None:
            path = self._folder / f"{self._next:010}{SUFFIX}"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
            self._next += 1
            self._segments.append(_Segment(path, time.time()))
            _sync_folder(self._folder)
        return self._file, self._segments[-1]

    def _seal(self) -> None:
        if self._file is not None:
            os.fdatasync(self._file)
            os.close(self._file)
            self._file = None

    def _abandon(self) -> None:
        """Leave the segment that cannot be written as it was; after a sync that failed, nothing
        more can be known of what is added to a file."""
        if self._file is not None:
            os.ftruncate(self._file, self._segments[-1].size)
            os.close(self._file)
            self._file = None

    def _restored(self, path: Path) -> _Segment:
        """A segment of an earlier process, read around what is damaged in it."""
        frames = read(path.read_bytes())
        segment = _Segment(path, path.stat().st_mtime, path.stat().st_size)
        damaged = frames.damaged + bool(frames.torn_bytes)
        for start, payload in zip(frames.places, frames.payloads, strict=True):
            try:
                segment.add(start, _decode_ids(payload))
            except msgspec.DecodeError:
                damaged += 1
        if damaged:
            LOG.error("%s: %d stretches are damaged; they are left out", path, damaged)
            self.damaged += damaged
        return segment


def _batches(frames: Frames) -> list[Recorded]:
    """All batches that can be read."""
    batches: list[Recorded] = []
    for payload in frames.payloads:
        with suppress(msgspec.DecodeError):
            batches += _decode(payload)
    return batches


def _sync_folder(folder: Path) -> None:
    """A new file is there after a loss of power only once its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _trouble(path: Path, error: OSError) -> StoreError:
    return StoreError(str(path), f"cannot be used ({error.strerror})", "free space on its disk")


def waiting_bytes(folder: Path) -> int:
    """What waits in the spool of a store that need not be running, bytes."""
    return sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}"))
