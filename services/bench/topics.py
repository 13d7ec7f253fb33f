"""Topics of a measurement: filled, watched and read, beside the graph that works on them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from services.streaming.args import StreamArgs
from services.streaming.base import Message, Outgoing, Sink
from services.streaming.kafka import KafkaBroker

#: Messages handed over at once when nothing else sets the pace, and per second of a pace.
AT_ONCE, BEATS_PER_S = 20_000, 50
_ANSWER_S = 10.0

Stopped = Callable[[], bool]


class _Named(msgspec.Struct):
    event_id: str = ""
    user_id: str = ""


_named = msgspec.json.Decoder(_Named).decode


@dataclass(frozen=True, slots=True)
class Topics:
    """Fresh topics and a fresh group on one broker."""

    bootstrap: str
    partitions: int = 6
    name: str = field(default_factory=lambda: f"bench-{secrets.token_hex(4)}")

    @property
    def args(self) -> StreamArgs:
        return StreamArgs(
            bootstrap=self.bootstrap,
            group=self.name,
            events=f"{self.name}.events",
            verdicts=f"{self.name}.verdicts",
            alerts=None,
            dead_letters=f"{self.name}.dead-letters",
            partitions=self.partitions,
        )

    @property
    def broker(self) -> KafkaBroker:
        return KafkaBroker({"bootstrap.servers": self.bootstrap})

    def make(self, settings: Path) -> None:
        """Make the topics, and the file that tells ``ztad serve`` of them."""
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(yaml.safe_dump(self.args.model_dump()))
        self.broker.ensure(self.args.topics)

    def drop(self) -> None:
        """Give the disk back."""
        names = [topic.name for topic in self.args.topics]
        for future in _admin(self.bootstrap).delete_topics(names).values():
            future.exception(_ANSWER_S)

    def fill(self, events: Iterable[bytes]) -> int:
        """Write events as fast as the broker takes them, keyed by user; returns how many."""
        sink, sent = self.broker.sink(), 0
        try:
            for messages in _chunks(self._outgoing(events), AT_ONCE):
                sink.deliver(messages)
                sent += len(messages)
        finally:
            sink.close()
        return sent

    def pace(self, events: Iterable[bytes], per_s: float) -> int:
        """Write events at a rate, and go on with what is late while a broker is away."""
        sink = self.broker.sink()
        started, sent = time.monotonic(), 0
        try:
            for messages in _chunks(self._outgoing(events), max(1, round(per_s / BEATS_PER_S))):
                time.sleep(max(0.0, started + sent / per_s - time.monotonic()))
                _deliver(sink, messages)
                sent += len(messages)
        finally:
            sink.close()
        return sent

    def behind(self) -> int:
        """Events the group has not committed: none of them is sure to be on record."""
        from confluent_kafka import Consumer, TopicPartition

        at = [TopicPartition(self.args.events, number) for number in range(self.partitions)]
        group = {"bootstrap.servers": self.bootstrap, "group.id": self.name, "log_level": 0}
        consumer = Consumer(group)
        try:
            committed = consumer.committed(at, timeout=_ANSWER_S)
            ends = [consumer.get_watermark_offsets(each, timeout=_ANSWER_S)[1] for each in at]
        finally:
            consumer.close()
        return sum(end - max(0, done.offset) for end, done in zip(ends, committed, strict=True))

    def sent(self) -> Iterator[Message]:
        """Every event that was written."""
        return self.broker.read(self.args.events)

    def verdicts(self) -> Iterator[Message]:
        """Every verdict that came of them."""
        verdicts = self.args.verdicts
        assert verdicts is not None
        return self.broker.read(verdicts)

    def dead_letters(self) -> int:
        """How many different messages could not be scored."""
        letters = self.broker.read(self.args.dead_letters)
        newest = {message.key: message.value for message in letters}
        return sum(value is not None for value in newest.values())

    def _outgoing(self, events: Iterable[bytes]) -> Iterator[Outgoing]:
        for event in events:
            yield Outgoing(self.args.events, event, key=_user(event))


def event_id(value: bytes | None) -> str:
    """Of an event or a verdict; empty where there is none to be read."""
    try:
        return _named(value or b"{}").event_id
    except msgspec.DecodeError:
        return ""


def _user(event: bytes) -> bytes:
    try:
        return _named(event).user_id.encode()
    except msgspec.DecodeError:
        return b""


def _deliver(sink: Sink, messages: list[Outgoing]) -> None:
    from services.streaming.base import BrokerAway

    while True:
        try:
            sink.deliver(messages)
        except BrokerAway:  # some may be there twice now: the graph tells them by their id
            continue
        return


def _chunks(messages: Iterable[Outgoing], size: int) -> Iterator[list[Outgoing]]:
    chunk: list[Outgoing] = []
    for each in messages:
        chunk.append(each)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _admin(bootstrap: str) -> Any:
    from confluent_kafka.admin import AdminClient

    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
