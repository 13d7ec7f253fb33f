"""Events of the past in order of time, from the store or a topic. Nothing is written there."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from preprocessing.event import MAX_AHEAD_S, AuthEvent, InvalidEvent, decode_unidentified
from services.storage.base import Limits, Store, VerdictQuery
from services.storage.errors import StoreError
from services.storage.migrations.chain import BASE
from services.storage.migrations.places import places
from services.storage.opening import VERDICTS_FILE_NAME, open_store
from services.storage.postgres.address import is_postgres
from services.streaming.scoring import Oversized, Undecodable, id_by_place, value_of

if TYPE_CHECKING:
    from services.streaming.base import Broker, Message
    from services.streaming.scoring import Decode

T = TypeVar("T")

#: Events read at once.
PAGE = 5000
#: Messages of one partition decoded at once: entering the event loop for each costs as much again.
DECODED_AT_ONCE = 500
#: So late an event may come into its topic, seconds: as far as one may be ahead.
LATE_S = MAX_AHEAD_S
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
        """From the oldest to the newest that there is, to infinity where the newest is not known;
        None where nothing is."""


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
    """What a topic holds; its partitions are put together by the time of the events.

    A partition is read from the messages of :data:`MAX_AHEAD_S` before the span, since an event
    may be so far ahead of its message, until an event and its message are both ``late_s`` seconds
    behind the span. What came later than that, behind others that did not, is not seen.
    """

    def __init__(
        self, broker: Broker, topic: str, decode: Decode | None = None, *, late_s: float = LATE_S
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._decode = decode
        self._late_s = late_s
        self._first_s = math.inf
        self.skipped = 0

    def events(self, span: Span) -> Iterator[AuthEvent]:
        numbers = range(self._broker.partitions(self._topic))
        # One event loop for all: a schema registry's client belongs to the one it was used in.
        with asyncio.Runner() as runner:
            parts = [self._part(number, span, runner) for number in numbers]
            try:
                yield from heapq.merge(*parts, key=lambda event: event.timestamp)
            finally:
                if self._decode is not None:
                    runner.run(self._decode.close())

    def known(self) -> Span | None:
        """From the first that was seen on; where a topic ends was not looked at."""
        return None if self._first_s == math.inf else Span(self._first_s, math.inf)

    def _part(self, number: int, span: Span, runner: asyncio.Runner) -> Iterator[AuthEvent]:
        since_s, end_s = span.since_s - MAX_AHEAD_S, span.until_s + self._late_s
        with closing(self._broker.read(self._topic, since_s=since_s, partition=number)) as messages:
            while some := list(islice(messages, DECODED_AT_ONCE)):
                for message, event in zip(some, runner.run(self._decoded(some)), strict=True):
                    if event is None:
                        self.skipped += 1
                        continue
                    at_s = event.timestamp.timestamp()
                    self._first_s = min(self._first_s, at_s)
                    if min(at_s, message.timestamp_ms / 1000) >= end_s:
                        return
                    if span.since_s <= at_s < span.until_s:
                        yield event

    async def _decoded(self, messages: list[Message]) -> list[AuthEvent | None]:
        return [await self._event(message) for message in messages]

    async def _event(self, message: Message) -> AuthEvent | None:
        """As the worker reads it, so that ids are those of the live verdicts."""
        try:
            value = await value_of(message, self._decode)
            event = decode_unidentified(value, now_s=time.time())
        except (InvalidEvent, Undecodable, Oversized):
            return None
        if event.event_id:
            return event
        return msgspec.structs.replace(event, event_id=id_by_place(message))


@contextmanager
def stored(where: str) -> Iterator[StoredPast]:
    """The events of the store in a folder or a PostgreSQL, which may be in use.

    Raises :class:`services.storage.errors.StoreError`, also where there is no store, or one whose
    schema is not this ztad's: opening it would change it.
    """
    _check_there(where)
    with asyncio.Runner() as runner:
        store = runner.run(_opened(where))
        with closing(store):
            yield StoredPast(store, runner)


def _check_there(where: str) -> None:
    file = Path(where) / VERDICTS_FILE_NAME
    if not is_postgres(where) and not file.is_file():
        raise StoreError(str(file), "there is no store", "name the one of ztad serve")
    place = places(where)["verdicts"]
    at = place.current()
    if at == BASE:
        raise StoreError(place.where, "there is no store", "name the one of ztad serve")
    if at != place.chain.head:
        mend = "'ztad store upgrade' brings it there, as every start of ztad serve does"
        raise StoreError(place.where, f"has schema {at}, this ztad {place.chain.head}", mend)


async def _opened(where: str) -> Store:
    """Limits are those of whoever trims; nothing is removed from here."""
    return open_store(where, Limits(most_bytes=1 << 62, most_days=1e6, most_alert_days=1e6))


async def _awaited(asked: Awaitable[T]) -> T:
    return await asked
