"""What keeps a replica in step with the log, in the background.

It follows the log while nobody calls, writes a snapshot when the log has become long, and mends
what parted a replica from it: a Redis that was away, or that lost its last second or everything.
"""

from __future__ import annotations

import logging
import random
import threading
import time

import msgspec

from preprocessing.embedded import EmbeddedHistory
from preprocessing.history import HistoryError
from services.shared_history.operations import repeat
from services.shared_history.redis_log import LogUnavailable, RedisLog, position
from services.shared_history.replica import PIECE_BYTES, Copy, Replica

_LOG = logging.getLogger(__name__)

#: After so many pieces callers wait however much is left, or a busy replica would never be done.
MOST_PIECES = 200
#: After so many attempts without a base, some seconds, nobody is there who could write one.
MOST_BASELESS = 3
#: Keys are renewed this often, seconds; before a snapshot whose writer died at the last moment is
#: taken for an unfinished one.
RENEW_S = 1200.0


class Keeper:
    """A thread that looks after one replica until ``close``. ``log`` is a connection of its own."""

    def __init__(self, replica: Replica, log: RedisLog, grown_from: str) -> None:
        self._replica = replica
        self._settings = replica.settings
        self._log = log
        self._grown_from = grown_from
        self._snapshot_bytes = 0
        self._baseless = 0
        self._renewed_s = time.monotonic()
        self._using = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shared-history", daemon=True)

    def start(self) -> None:
        """Begin, with the first attempt to get in step made at once."""
        if not self.mend():
            _LOG.error("shared history: beginning alone (%s)", self._replica.apart)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()
        self._log.close()

    def _run(self) -> None:
        pause_s = self._settings.first_pause_s
        while not self._stop.wait(self._pause(pause_s)):
            try:
                if self._replica.apart is None:
                    pause_s = self._settings.first_pause_s
                    self._tend()
                elif not self.mend():
                    pause_s = min(2 * pause_s, self._settings.longest_pause_s)
            except Exception:  # noqa: BLE001 - the thread goes on, and so does scoring
                _LOG.exception("shared history: the next attempt follows")

    def _pause(self, pause_s: float) -> float:
        """Replicas that lost the same Redis do not all come back at once."""
        if self._replica.apart is None:
            return self._settings.follow_s
        return pause_s * random.uniform(0.5, 1.0)

    def _tend(self) -> None:
        """Follow while nobody calls; abridge a log that has become long."""
        replica = self._replica
        if time.monotonic() - replica.used_s >= self._settings.follow_s:
            with replica.lock:
                replica.do()
        try:
            with self._using:
                if self._is_long():
                    self._abridge()
                if time.monotonic() - self._renewed_s > RENEW_S:
                    self._renewed_s = time.monotonic()
                    self._log.renew()
        except LogUnavailable as error:
            _LOG.warning("shared history: no snapshot written (%s)", error)

    def _is_long(self) -> bool:
        replica, copy = self._replica, self._replica.copy
        most = max(self._settings.most_log_bytes, self._snapshot_bytes)
        return replica.apart is None and (not copy.base or copy.bytes_since_base > most)

    def _abridge(self) -> None:
        """Write a snapshot, unless somebody else does; the log before it is forgotten."""
        token = self._log.lock()
        if token is None:
            return
        replica = self._replica
        with replica.lock:
            abreast, place = replica.apart is None, replica.copy.place
            state = replica.history.snapshot() if abreast else b""
            replica.copy.bytes_since_base = 0
        if not abreast:
            self._log.unlock(token)
            return
        self._snapshot_bytes = len(state)
        self._log.commit(token, place, state, self._grown_from)

    def mend(self) -> bool:
        """Try to get in step with the log; False if that has to wait."""
        try:
            with self._using:
                return self._mended()
        except (LogUnavailable, HistoryError, msgspec.DecodeError) as error:
            self._replica.apart = str(error)
        return False

    def _mended(self) -> bool:
        replica = self._replica
        answer = self._log.exchange(replica.copy.place)
        if answer.standing == "empty":
            return self._began()
        if answer.standing == "ok":
            with replica.lock:
                if replica.resumed(answer):
                    return True
        if answer.standing == "forked" and self._knows_more(answer.ids[-1]):
            status = self._log.status()
            return self._prevailed(status.as_of if status else answer.ids[-1])
        return self._rebased(again=answer.standing == "forked")

    def _knows_more(self, newest: str) -> bool:
        """Whether the log was lost and begun anew by somebody who knew less than this replica."""
        return position(self._replica.copy.place) > position(newest)

    def _began(self) -> bool:
        """There is no log: what this replica knows is the history, unless somebody is faster."""
        replica = self._replica
        with replica.lock:
            state, held = replica.history.snapshot(), replica.waiting.numbers
            place = replica.copy.place
        first = self._log.begin(state, self._grown_from, after=place)
        if first is None:
            return self._mended()
        self._snapshot_bytes = len(state)
        with replica.lock:
            replica.waiting.drop(held)
            replica.copy.place, replica.copy.bytes_since_base = first, 0
            return replica.resumed(replica.log.exchange(first))

    def _rebased(self, *, again: bool) -> bool:
        """Make the history anew from the base and the log, then what waits here, and use that.

        ``again``: the log may have lost what it had, so our last operations are sent once more.
        """
        replica = self._replica
        found = self._log.base()
        if found is None:
            self._baseless += 1
            newest = self._log.disown()
            if self._baseless > MOST_BASELESS:
                _LOG.error("shared history: evicted by Redis; this replica's copy is used")
                return self._prevailed(newest)
            raise HistoryError("the snapshot in Redis is not whole, or was replaced just now")
        self._baseless = 0
        fresh = EmbeddedHistory(replica.history.settings)
        copy = Copy(fresh, found.as_of, found.name, again_until=found.again_until)
        copy.history.restore(found.state)
        self._snapshot_bytes = len(found.state)
        if again:
            with replica.lock:
                replica.waiting.put_first(list(replica.recent))
        for _ in range(MOST_PIECES):
            if self._step(copy, self._log):
                break
        with replica.lock:
            while not self._step(copy, replica.log):
                continue
            replica.join(copy)
        return True

    def _prevailed(self, as_of: str) -> bool:
        """What this replica knows is the history, and what the log has since ``as_of``."""
        replica, token = self._replica, self._log.lock()
        if token is None:
            return False
        with replica.lock:
            state, held = replica.history.snapshot(), replica.waiting.numbers
            place = replica.copy.place
        if not self._log.commit(token, as_of, state, self._grown_from, replaced=place):
            return False
        with replica.lock:
            replica.waiting.drop(held)
        return self._rebased(again=False)

    def _step(self, copy: Copy, log: RedisLog) -> bool:
        """Do in a copy what others did, and one piece of what waits; False if there is more.

        Raises :class:`LogUnavailable` if the copy cannot become what the log is.
        """
        replica = self._replica
        with replica.lock:
            own = replica.waiting.first(PIECE_BYTES)
        answer = log.exchange(copy.place, own)
        if answer.standing in ("forked", "empty") or not copy.follow(answer):
            raise LogUnavailable("the history was replaced meanwhile")
        if answer.standing == "behind":
            return False
        for one in own:
            repeat(one.operation, copy.history)
        with replica.lock:
            replica.appended(own, answer, copy)
            return not replica.waiting
