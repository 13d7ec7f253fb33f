"""Events of the past in order of time, from the store or a topic. Nothing is written there."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from preprocessing.event import MAX_AHEAD_S, AuthEvent, InvalidEvent, decode_unidentified
from services.storage.base import Limits, Store, VerdictQuery
from services.storage.errors import StoreError
from services.storage.opening import VERDICTS_FILE_NAME, open_store
from services.storage.postgres.address import is_postgres
from services.streaming.scoring import id_by_place

if TYPE_CHECKING:
    from services.streaming.base import Broker, Message

T = TypeVar("T")

#: Events read at once.
PAGE = 5000
_EVENT = msgspec.msgpack.Decoder(AuthEvent)


@dataclass(frozen=True, slots=True)
class Span:
    """``since_s`` <= time of an event < ``until_s``, seconds since the epoch."""

    since_s: float
    until_s: float


class Past(Protocol):
    """Events that happened once, in order of time."""

    skipped: int
    """Messages that are no events."""

    def events(self, span: Span) -> Iterator[AuthEvent]:
        """Those of a span, oldest first."""

    def known(self) -> Span | None:
        """From the oldest to the newest that there is, None where that is not known."""


class StoredPast:
    """What a store keeps of events."""

    skipped = 0

    def __init__(self, store: Store, runner: asyncio.Runner) -> None:
        self._store = store
        self._runner = runner

    def events(self, span: Span) -> Iterator[AuthEvent]:
        after: tuple[float, int] | None = None
        while True:
            asked = self._store.events(span.since_s, span.until_s, after, PAGE)
            page = self._runner.run(_awaited(asked))
            yield from map(_EVENT.decode, page.events)
            after = page.after
            if after is None:
                return

    def known(self) -> Span | None:
        first = next(self.events(Span(0.0, time.time() + MAX_AHEAD_S)), None)
        newest = self._runner.run(_awaited(self._store.page(VerdictQuery(limit=1))))
        if first is None:
            return None
        since_s = first.timestamp.timestamp()
        return Span(since_s, newest.after[0] if newest.after else since_s)

    def verdicts(self, event_ids: list[str]) -> dict[str, bytes]:
        """What was answered then, encoded, of those events of which it is kept."""
        return self._runner.run(_awaited(self._store.first(event_ids)))


class TopicPast:
    """What a topic holds; its partitions are put together by the time of the events."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self.skipped = 0

    def events(self, span: Span) -> Iterator[AuthEvent]:
        numbers = range(self._broker.partitions(self._topic))
        parts = [self._part(number, span) for number in numbers]
        yield from heapq.merge(*parts, key=lambda event: event.timestamp)

    def known(self) -> Span | None:
        return None

    def _part(self, number: int, span: Span) -> Iterator[AuthEvent]:
        """One partition, to its end: nothing is in a topic before it happened, but it may come any
        time later."""
        for message in self._broker.read(self._topic, since_s=span.since_s, partition=number):
            event = self._event(message)
            if event and span.since_s <= event.timestamp.timestamp() < span.until_s:
                yield event

    def _event(self, message: Message) -> AuthEvent | None:
        """Called as the worker calls it, so that ids are those of the live verdicts."""
        try:
            event = decode_unidentified(message.value or b"", now_s=time.time())
        except InvalidEvent:
            self.skipped += 1
            return None
        if event.event_id:
            return event
        return msgspec.structs.replace(event, event_id=id_by_place(message))


@contextmanager
def stored(where: str) -> Iterator[StoredPast]:
    """The events of the store in a folder or a PostgreSQL, which may be in use.

    Raises :class:`services.storage.errors.StoreError`, also for a folder without a store.
    """
    file = Path(where) / VERDICTS_FILE_NAME
    if not is_postgres(where) and not file.is_file():
        raise StoreError(str(file), "there is no store", "name its folder, or its --database")
    with asyncio.Runner() as runner:
        store = runner.run(_opened(where))
        with closing(store):
            yield StoredPast(store, runner)


async def _opened(where: str) -> Store:
    """Limits are those of whoever trims; nothing is removed from here."""
    return open_store(where, Limits(most_bytes=1 << 62, most_days=1e6, most_alert_days=1e6))


async def _awaited(asked: Awaitable[T]) -> T:
    return await asked
