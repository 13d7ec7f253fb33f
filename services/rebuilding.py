"""A history made anew from what a store has on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from ensemble.scorer import ensemble_of, history_of
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.prepare import Observed, observe
from services.storage.base import Store

#: Events read and observed at once.
PAGE = 1000


class _Said(msgspec.Struct, frozen=True):
    """What a verdict says of whether its event may be learned."""

    is_anomaly: bool
    learning: bool
    late: bool


_EVENT = msgspec.msgpack.Decoder(AuthEvent)
_SAID = msgspec.json.Decoder(_Said)


class Rebuilding:
    """Begins with the history of a bundle, and observes what the store has of later events; what
    their verdicts called ordinary is learned, as it was live.

    What analysts said is in the store too, and heard again by itself once a graph serves the
    history. ``events``, ``learned`` and ``unreadable`` count; an unreadable event is one of a
    later ztad.
    """

    def __init__(self, store: Store, bundle: Bundle) -> None:
        self.history = history_of(bundle)
        self.events = self.learned = self.unreadable = 0
        self._store = store
        self._lens = ensemble_of(bundle).lens

    @property
    def begins_s(self) -> float:
        """Events after this time are not in the bundle's history, seconds since the epoch."""
        return float(np.nextafter(self.history.newest_s, np.inf))

    async def run(self, since_s: float, until_s: float, on_page: Callable[[int], None]) -> None:
        """Observe every event of ``since_s`` <= time < ``until_s``; ``on_page`` is told how many
        each page held. Raises ``services.storage.errors.StoreError``."""
        cursor: tuple[float, int] | None = None
        while True:
            page = await self._store.events(since_s, until_s, cursor, PAGE)
            events = [event for each in page.events if (event := self._decoded(each)) is not None]
            said = await self._store.first([event.event_id for event in events])
            self._observe(events, {id_: _SAID.decode(verdict) for id_, verdict in said.items()})
            on_page(len(page.events))
            if page.after is None:
                return
            cursor = page.after

    def _decoded(self, event: bytes) -> AuthEvent | None:
        try:
            return _EVENT.decode(event)
        except msgspec.DecodeError:
            self.unreadable += 1
            return None

    def _observe(self, events: Sequence[AuthEvent], said: dict[str, _Said]) -> None:
        if not events:
            return
        # By the clock of then, an id is forgotten a day after its event.
        now_s = events[-1].timestamp.timestamp()
        observed = observe(events, self.history, now_s=now_s)
        self.learned += self.history.learn(self._ordinary(events, observed, said))
        self.events += len(events)

    def _ordinary(
        self, events: Sequence[AuthEvent], observed: Observed, said: dict[str, _Said]
    ) -> list[str]:
        """As in ``ensemble.decision``: what is not flagged, and of users who were new whatever is
        not plainly an attack."""
        ordinary: list[str] = []
        doubtful: list[int] = []
        for row, event in enumerate(events):
            verdict = said.get(event.event_id)
            if verdict is None or verdict.late:
                continue
            if not verdict.is_anomaly:
                ordinary.append(event.event_id)
            elif verdict.learning:
                doubtful.append(row)
        if doubtful:
            blatant = frozenset(observed.through(self._lens, doubtful).context.blatant)
            ordinary += [
                events[row].event_id for at, row in enumerate(doubtful) if at not in blatant
            ]
        return ordinary
