"""A ``UserHistory`` that survives its process: the embedded one, with snapshot plus journal.

Every observed batch and every ``learn`` is appended to a journal, handed to the operating system
within ``flush_s``: after ``kill -9`` at most that much is missing. A start loads the newest
snapshot and replays what was journaled since. Only snapshots are forced to disk: after a loss of
power, what the operating system had not written yet is missing as well.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from preprocessing.appender import Appender
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.feedback import Feedback
from preprocessing.frames import read
from preprocessing.history import Evidence, Facts, HistoryError, HistorySettings
from preprocessing.statedir import HistoryDamaged, StateDirectory

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """Sizes in bytes, times in seconds."""

    most_bytes: int = 128 * 2**20
    """A journal longer than this, and than the last snapshot, gives way to a new snapshot: some
    300,000 events, which a start does again in about five seconds."""
    flush_s: float = 0.2
    """What is observed reaches the operating system within this time."""
    most_queued_bytes: int = 64 * 2**20
    """What waits for a disk that cannot be written; beyond it records are lost, and counted."""
    lock_wait_s: float = 2.0
    """How long a start waits for another process to let go of the directory."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start found. ``grown_from`` is the SHA-256 of the history all of it began with."""

    grown_from: str
    fresh: bool
    """True if the directory was new."""
    events: int = 0
    """Events replayed from journals."""
    torn_bytes: int = 0
    """Bytes of a record that was being written when the process died: lost."""
    damaged: int = 0
    """Stretches of a journal that were changed since they were written: skipped."""


class _Observed(msgspec.Struct, array_like=True, tag="o"):
    now_s: float
    events: Sequence[AuthEvent]
    steps: bytes


class _Packed(msgspec.Struct, array_like=True, tag="o"):
    """An :class:`_Observed` as it is written, its events packed already."""

    now_s: float
    events: Sequence[msgspec.Raw]
    steps: bytes


class _Learned(msgspec.Struct, array_like=True, tag="l"):
    event_ids: list[str]


class _Corrected(msgspec.Struct, array_like=True, tag="c"):
    feedback: Sequence[Feedback]


_ENCODE = msgspec.msgpack.Encoder().encode
_RECORD = msgspec.msgpack.Decoder(_Observed | _Learned | _Corrected)


class JournaledHistory:
    """The embedded history kept in ``directory``; see :class:`preprocessing.history.UserHistory`.

    A new directory starts from ``base``, the history in a model bundle, or from nothing; a used
    one goes on from what it holds whatever the base (``continues_other_base``). One process at a
    time. ``recovery`` says what was found, ``lost`` and ``error`` how journaling fares. A full or
    broken disk never stops scoring.

    Raises :class:`HistoryLocked`, :class:`HistoryDamaged`, or OSError if the directory cannot be
    used at all.
    """

    def __init__(
        self,
        directory: Path,
        *,
        base: bytes | None = None,
        settings: HistorySettings | None = None,
        journal: JournalSettings | None = None,
    ) -> None:
        self.journal_settings = journal or JournalSettings()
        self._embedded = EmbeddedHistory(settings)
        self._closed = False
        self._compacting: threading.Thread | None = None
        self._handled_losses = 0
        self._snapshot_bytes = 0
        self._journal_bytes = 0
        self._base_digest = hashlib.sha256(base or b"").hexdigest()
        self._directory = StateDirectory(directory, wait_s=self.journal_settings.lock_wait_s)
        try:
            self.recovery = self._recover(base)
            self._number = self._directory.next_number()
            self._appender = Appender(
                self._directory.journal(self._number),
                flush_s=self.journal_settings.flush_s,
                most_queued_bytes=self.journal_settings.most_queued_bytes,
            )
        except BaseException:
            self._directory.close()
            raise
        if self.recovery.events or self.recovery.damaged or self.recovery.torn_bytes:
            self._compact()

    @property
    def settings(self) -> HistorySettings:
        return self._embedded.settings

    @property
    def users(self) -> int:
        """How many users are known."""
        return self._embedded.users

    @property
    def conflicts(self) -> int:
        """How many repeated ids came with other content, since the start of this process."""
        return self._embedded.conflicts

    @property
    def continues_other_base(self) -> bool:
        """Whether the directory grew from another history than the ``base`` given now."""
        return self.recovery.grown_from != self._base_digest

    @property
    def error(self) -> str | None:
        """Why the journal cannot be written at the moment, None while it can."""
        return self._appender.error

    @property
    def lost(self) -> int:
        """Records given up because the disk could not be written for too long."""
        return self._appender.lost

    def observe(self, events: Sequence[AuthEvent], *, now_s: float) -> Facts:
        self._check_open()
        facts = self._embedded.observe(events, now_s=now_s)
        if events:
            packed = [msgspec.Raw(event) for event in facts.packed]
            self._append(_Packed(now_s, packed, facts.trails[:, -1].tobytes()))
        return facts

    def evidence(self, event: AuthEvent, facts: Facts, row: int) -> Evidence:
        return self._embedded.evidence(event, facts, row)

    def with_typical(self, evidence: Evidence) -> Evidence:
        return self._embedded.with_typical(evidence)

    def learn(self, event_ids: Iterable[str]) -> int:
        self._check_open()
        ids = list(event_ids)
        learned = self._embedded.learn(ids)
        if learned:
            self._append(_Learned(ids))
        return learned

    def correct(self, feedback: Sequence[Feedback]) -> int:
        self._check_open()
        before = self._embedded.correct(())
        heard = self._embedded.correct(feedback)
        if heard > before:
            self._append(_Corrected(feedback))
        return heard

    def snapshot(self, *, seen: bool = True) -> bytes:
        return self._embedded.snapshot(seen=seen)

    def restore(self, state: bytes) -> None:
        self._embedded.restore(state)
        self._compact()

    def flush(self) -> None:
        """Hand everything journaled so far to the operating system now."""
        self._appender.flush()

    def close(self) -> None:
        """Write a snapshot and let go of the directory. Closing twice is closing once."""
        if self._closed:
            return
        self._closed = True
        if self._journal_bytes or self._appender.lost:
            self._compact()
        self._join()
        self._appender.close()
        self._directory.close()

    def _check_open(self) -> None:
        if self._closed:
            raise HistoryError("the history is closed")

    def _append(self, record: _Packed | _Learned | _Corrected) -> None:
        payload = _ENCODE(record)
        self._journal_bytes += len(payload)
        self._appender.append(payload)
        if self._is_due():
            self._compact()

    def _recover(self, base: bytes | None) -> Recovery:
        """Load the newest snapshot and replay the journals; a new directory gets a snapshot."""
        directory = self._directory
        newest = directory.newest_snapshot()
        if newest is None:
            journals = directory.journals(0)
            if journals:
                raise HistoryDamaged(journals[0], "its snapshot is missing")
            if base is not None:
                self._embedded.restore(base)
            directory.write_snapshot(0, self._embedded.snapshot(), self._base_digest)
            return Recovery(self._base_digest, fresh=True)
        state, grown_from = directory.read_snapshot(newest)
        self._snapshot_bytes = len(state)
        try:
            self._embedded.restore(state)
        except HistoryError as error:
            raise HistoryDamaged(directory.snapshot(newest), str(error)) from None
        events = damaged = torn_bytes = 0
        for file in directory.journals(newest):
            frames = read(file.read_bytes())
            events += sum(self._replay(payload, file) for payload in frames.payloads)
            damaged += frames.damaged
            torn_bytes += frames.torn_bytes
        if damaged:
            _LOG.warning("history journal in %s: %d damaged parts skipped", directory.path, damaged)
        return Recovery(grown_from, False, events, torn_bytes, damaged)

    def _replay(self, payload: memoryview, file: Path) -> int:
        """Do again what a record says; returns how many events it observed."""
        try:
            record = _RECORD.decode(payload)
        except msgspec.DecodeError as error:
            problem = f"holds a record of another ztad version ({error})"
            raise HistoryDamaged(file, problem) from None
        if isinstance(record, _Learned):
            self._embedded.learn(record.event_ids)
            return 0
        if isinstance(record, _Corrected):
            self._embedded.correct(record.feedback)
            return 0
        self._embedded.replay(record.events, record.steps, now_s=record.now_s)
        return len(record.events)

    def _is_due(self) -> bool:
        if self._compacting is not None and self._compacting.is_alive():
            return False
        if self._appender.lost > self._handled_losses:
            return True
        return self._journal_bytes > max(self.journal_settings.most_bytes, self._snapshot_bytes)

    def _compact(self) -> None:
        """Begin a new journal, and write the snapshot that makes the old ones superfluous.

        The snapshot is taken here and now, at about 150 MB/s; a thread writes it.
        """
        self._join()
        self._number += 1
        number = self._number
        state = self._embedded.snapshot()
        self._handled_losses = self._appender.lost
        self._snapshot_bytes = len(state)
        self._journal_bytes = 0
        self._appender.switch(self._directory.journal(number))
        self._compacting = threading.Thread(
            target=self._write_snapshot, args=(number, state), name="history-snapshot", daemon=True
        )
        self._compacting.start()

    def _write_snapshot(self, number: int, state: bytes) -> None:
        try:
            self._directory.write_snapshot(number, state, self.recovery.grown_from)
            self._directory.drop_before(number)
        except OSError as error:
            # Nothing is lost: the journals since the last snapshot stay and are replayed.
            _LOG.error("history snapshot: cannot write (%s); the journal goes on", error)

    def _join(self) -> None:
        if self._compacting is not None:
            self._compacting.join()
            self._compacting = None
