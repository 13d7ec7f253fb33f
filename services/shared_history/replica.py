"""One process's copy of the shared history, and where in the order of operations it stands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from preprocessing.embedded import EmbeddedHistory
from services.shared_history.operations import (
    Learned,
    Operation,
    Replaced,
    Sent,
    Stepped,
    repeat,
    sent,
)
from services.shared_history.redis_log import Exchange, LogUnavailable, RedisLog
from services.shared_history.waiting import Recent, Waiting

_LOG = logging.getLogger(__name__)

#: Answers read for one call before the replica gives up being abreast: half a second of work.
MOST_ROUNDS = 5
#: Own operations sent in one piece when many wait.
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingSettings:
    """Sizes in bytes, times in seconds."""

    most_log_bytes: int = 32 * 2**20
    """A log longer than this, and than the last snapshot, gives way to a new snapshot."""
    most_waiting_bytes: int = 64 * 2**20
    """Operations that wait for Redis; beyond it the oldest are given up, and counted."""
    recent_s: float = 10.0
    """Operations of the last seconds are kept, to be sent again to a Redis that lost them: one
    that writes to its disk every second loses as much in a crash."""
    most_recent_bytes: int = 16 * 2**20
    follow_s: float = 0.2
    """A replica that is not called catches up this often, and says what was learned."""
    first_pause_s: float = 0.5
    """Before the first attempt to reach a Redis that is away; each further one waits twice as
    long, up to ``longest_pause_s``."""
    longest_pause_s: float = 10.0


@dataclass(slots=True)
class Copy:
    """A history that has done every operation up to the entry ``place``, and nothing else.

    ``base`` names the newest snapshot, ``bytes_since_base`` is what was done since it was written.
    Up to the entry ``again_until`` things are done that the snapshot knows of.
    """

    history: EmbeddedHistory
    place: str = ""
    base: str = ""
    bytes_since_base: int = 0
    again_until: str = ""

    def follow(self, answer: Exchange) -> bool:
        """Do what others did; False if from there on the history is another one."""
        other_base = answer.base != self.base
        for entry in answer.news:
            if isinstance(entry.operation, Replaced) and other_base:
                return False
            if entry.id == self.again_until:
                self.again_until = ""
            # Of all operations this one alone would count twice.
            if not (self.again_until and isinstance(entry.operation, Stepped)):
                repeat(entry.operation, self.history)
            self.place = entry.id
            self.bytes_since_base += entry.size
        if other_base and answer.standing != "behind":
            self.base, self.bytes_since_base = answer.base, 0
        return True

    def appended(self, own: Sequence[Sent], answer: Exchange) -> None:
        """Our own operations are done, and in the log."""
        if own:
            self.place = answer.ids[-1]
            self.bytes_since_base += sum(len(one.payload) for one in own)


class Replica:
    """The history as this process knows it. Whoever calls a method holds ``lock``.

    While ``apart`` is None the copy is abreast of the log, else it says why not: then it goes on
    by itself, and its own operations wait.
    """

    def __init__(self, log: RedisLog, history: EmbeddedHistory, settings: SharingSettings) -> None:
        self.lock = threading.RLock()
        self.copy = Copy(history)
        self.settings = settings
        self.apart: str | None = "not begun"
        self.partings = 0
        self.waiting = Waiting(settings.most_waiting_bytes)
        self.recent = Recent(settings.recent_s, settings.most_recent_bytes)
        #: When somebody last used the history, seconds of the monotonic clock.
        self.used_s = 0.0
        self.log = log
        self._to_join: Stepped | None = None
        self._to_learn: dict[str, None] = {}
        self._forgone = 0

    @property
    def history(self) -> EmbeddedHistory:
        return self.copy.history

    def will_learn(self, event_ids: Iterable[str]) -> int:
        """Have events learned before anything else is done; how many of them wait for it here."""
        new = [id_ for id_ in dict.fromkeys(event_ids) if id_ not in self._to_learn]
        self._to_learn.update(dict.fromkeys(new))
        return self.history.awaits(new)

    def will_join(self, steps: Stepped) -> None:
        """Have what was observed just now join its trails before anything else is done."""
        self._to_join = steps if steps.user_ids else None

    def do(self, operation: Operation | None = None) -> bool:
        """Do what others did, and what was to be done first; the caller then does ``operation``.

        True if that is the order of the log, with ``operation`` in it.
        """
        first = self._due()
        own = first if operation is None else [*first, sent(operation)]
        in_order = self.apart is None and self._exchanged(own)
        if not in_order:
            self.waiting.add(own)
        for one in first:
            repeat(one.operation, self.history)
        return in_order

    def _due(self) -> list[Sent]:
        """What was to join trails, and to be learned."""
        due: list[Sent] = []
        if self._to_join is not None:
            due.append(sent(self._to_join))
            self._to_join = None
        if self._to_learn:
            due.append(sent(Learned(list(self._to_learn))))
            self._to_learn.clear()
        return due

    def resumed(self, answer: Exchange) -> bool:
        """Go on from where the copy is: what waits was done in the order of the log, if nobody
        else did anything meanwhile. False if somebody did."""
        waiting, copy = self.waiting, self.copy
        arrived = [entry.number for entry in answer.news]
        if waiting.given_up > self._forgone or arrived != waiting.numbers[: len(arrived)]:
            return False
        if arrived:  # the answer was lost, not the question
            copy.place = answer.news[-1].id
            waiting.drop(arrived)
        while waiting:
            own = waiting.first(PIECE_BYTES)
            answer = self.log.exchange(copy.place, own, alone=True)
            if answer.standing != "ok":
                return False
            self.appended(own, answer, copy)
        self.join(copy)
        return True

    def join(self, copy: Copy) -> None:
        """Use a copy that is abreast of the log; nothing may wait any more."""
        if self.partings:
            _LOG.warning("shared history: in step with the others again")
        self.copy, self.apart, self._forgone = copy, None, self.waiting.given_up

    def appended(self, own: Sequence[Sent], answer: Exchange, copy: Copy) -> None:
        """Our own operations are in the log, and done in a copy."""
        copy.appended(own, answer)
        self.recent.add(one for one in own if not isinstance(one.operation, Stepped))
        if self.waiting:
            self.waiting.drop(one.number for one in own)

    def _part(self, why: str) -> bool:
        """From now on the history here is not the one of the log."""
        self.partings += 1
        self.apart = why
        _LOG.error("shared history: going on alone (%s); verdicts say learning", why)
        return False

    def _exchanged(self, own: Sequence[Sent]) -> bool:
        """Tell the log what we do, and do what others did before it."""
        try:
            for _ in range(MOST_ROUNDS):
                answer = self.log.exchange(self.copy.place, own)
                if answer.standing in ("forked", "empty"):
                    return self._part(f"the log in Redis is {answer.standing}")
                if not self.copy.follow(answer):
                    return self._part("the history was replaced")
                if answer.standing == "ok":
                    self.appended(own, answer, self.copy)
                    return True
        except LogUnavailable as error:
            return self._part(str(error))
        except msgspec.DecodeError as error:
            return self._part(f"an operation cannot be read: {error}")
        return self._part("too far behind the others")
