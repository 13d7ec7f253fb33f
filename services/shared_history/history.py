"""A ``UserHistory`` that many processes share, through a log of operations in Redis."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.feedback import Feedback, unheard
from preprocessing.history import Evidence, Facts, HistoryError, HistorySettings
from services.shared_history.address import Where
from services.shared_history.keeper import Keeper
from services.shared_history.operations import Corrected, Observed, stepped
from services.shared_history.redis_log import LogUnavailable, RedisLog
from services.shared_history.replacing import Replacing
from services.shared_history.replica import Replica, SharingSettings


class SharedHistory:
    """One replica of a history; see :class:`preprocessing.history.UserHistory` for the promises.

    Each replica holds all of the history and does every operation of every replica, in the one
    order that Redis gives them: what ``observe`` says rests on all that was observed before,
    wherever. One round trip per ``observe``; what is to be learned rides along, or follows within
    ``follow_s``. All replicas need equal ``settings``.

    Without Redis it goes on alone: then facts say ``learning``, nothing that is flagged is learned,
    and what was done waits until Redis is back. A log that does not exist yet begins with ``base``,
    the history in a model bundle, or with nothing. ``apart`` says why a replica is on its own.
    """

    def __init__(
        self,
        where: Where,
        *,
        base: bytes | None = None,
        settings: HistorySettings | None = None,
        sharing: SharingSettings | None = None,
    ) -> None:
        embedded = EmbeddedHistory(settings)
        if base is not None:
            embedded.restore(base)
        self._where = where
        self._closed = False
        self._grown_from = hashlib.sha256(base or b"").hexdigest()
        log = RedisLog(where, hasty=True)
        self._replica = Replica(log, embedded, sharing or SharingSettings())
        self._keeper = Keeper(self._replica, RedisLog(where, hasty=False), self._grown_from)
        self._keeper.start()

    @property
    def settings(self) -> HistorySettings:
        return self._replica.history.settings

    @property
    def apart(self) -> str | None:
        """Why this replica is on its own, None while it shares all it knows."""
        return self._replica.apart

    def observe(self, events: Sequence[AuthEvent], *, now_s: float) -> Facts:
        replica = self._opened()
        with replica.lock:
            shared = replica.do(Observed(now_s, events) if events else None)
            facts = replica.history.observe(events, now_s=now_s, join_trails=False)
            replica.will_join(stepped(events, facts))
            replica.used_s = time.monotonic()
        return facts if shared else _unsure(facts)

    def evidence(self, event: AuthEvent, facts: Facts, row: int) -> Evidence:
        with self._replica.lock:
            self._replica.used_s = time.monotonic()
            return self._replica.history.evidence(event, facts, row)

    def with_typical(self, evidence: Evidence) -> Evidence:
        with self._replica.lock:
            return self._replica.history.with_typical(evidence)

    def learn(self, event_ids: Iterable[str]) -> int:
        """As promised, of those that this replica knows; done with the next operation."""
        replica = self._opened()
        with replica.lock:
            return replica.will_learn(event_ids)

    def correct(self, feedback: Sequence[Feedback]) -> int:
        replica = self._opened()
        with replica.lock:
            heard = replica.history.correct(())
            if not unheard(feedback, heard):
                return heard
            replica.do(Corrected(feedback))
            return replica.history.correct(feedback)

    def snapshot(self, *, seen: bool = True) -> bytes:
        replica = self._opened()
        with replica.lock:
            replica.do()
            return replica.history.snapshot(seen=seen)

    def restore(self, state: bytes) -> None:
        """Have all replicas become what a snapshot holds."""
        EmbeddedHistory(self.settings).restore(state)
        replica = self._opened()
        with replica.lock:
            replica.do()
            try:
                with Replacing(self._where) as replacing:
                    replacing.finish(state, as_of=replica.copy.place)
            except LogUnavailable as error:
                raise HistoryError(f"the history cannot be replaced now: {error}") from None
        self._keeper.mend()

    def close(self) -> None:
        """Send what waits, and let go of Redis. Closing twice is closing once."""
        if self._closed:
            return
        replica = self._opened()
        with replica.lock:
            replica.do()
            self._closed = True
        self._keeper.close()
        replica.log.close()

    def _opened(self) -> Replica:
        if self._closed:
            raise HistoryError("the history is closed")
        return self._replica


def _unsure(facts: Facts) -> Facts:
    """Facts that others may know better. Whoever was not new before is not learned when flagged:
    nobody gets an attack learned by cutting us off from Redis."""
    doubted = np.flatnonzero(~facts.learning).tolist()
    everything = np.ones_like(facts.learning)
    returned = sorted({*facts.returned, *doubted})
    return replace(facts, learning=everything, returned=returned, alone=True)
