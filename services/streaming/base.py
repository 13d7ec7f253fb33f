"""What streaming needs of a broker: topics, a source, a sink; and the errors these raise.

``memory.py`` and ``kafka.py`` implement it and pass one contract suite (tests/contracts).
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

Header = tuple[str, bytes]


class Partition(NamedTuple):
    """One partition of a topic; the messages in it have an order."""

    topic: str
    number: int


class Position(NamedTuple):
    """A place in a partition. As a position to commit: of the next message to read."""

    topic: str
    partition: int
    offset: int


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message as it was read. ``timestamp_ms`` since the epoch: when it was produced, or
    appended where the topic says so. A ``value`` of None is a tombstone."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None
    timestamp_ms: int
    headers: Sequence[Header] = ()


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message to write. Those with equal keys stay in order; without a key any partition
    takes it."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[Header] = ()


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is made where it is missing.

    A ``compacted`` one keeps the newest message of every key for good. ``replicas`` None: as many
    as the brokers make by default.
    """

    name: str
    partitions: int = 1
    compacted: bool = False
    replicas: int | None = None
    most_message_bytes: int | None = None


class StreamError(RuntimeError):
    """The broker, or what was asked of it, is at fault: what happened, and what to do."""


class BrokerAway(StreamError):
    """No broker answers; the same may work later."""


class NotDelivered(BrokerAway):
    """Some of the messages are not confirmed; write all of them again."""


class NotCommitted(BrokerAway):
    """The group did not take the positions: a rebalance is under way, or nobody answers."""


class TooLarge(StreamError):
    """A message is larger than the topic takes; it will be so the next time."""


class TopicUnusable(StreamError):
    """A topic is missing and cannot be made, or may not be read or written."""


class Owner(Protocol):
    """Told which partitions a source owns. Called from within ``Source.poll`` and ``close``."""

    def assigned(self, partitions: Collection[Partition]) -> None:
        """They are ours from now on, beside those that were."""

    def revoked(self, partitions: Collection[Partition]) -> None:
        """They go to somebody else once this returns; until then they may be committed."""

    def lost(self, partitions: Collection[Partition]) -> None:
        """Somebody else has them already; nothing can be committed any more."""


class Source(Protocol):
    """Messages of some topics, shared with all other sources of the group: every partition has
    one owner at a time. Used by one thread at a time; nothing is committed by itself."""

    def poll(self, most: int, timeout_s: float) -> list[Message]:
        """Messages in the order of their partitions, at most ``most``; empty when none came in
        time. Must be called every few seconds, or the group takes the source for dead.

        Raises :class:`StreamError` for what does not mend itself; a broker that is away is waited
        for.
        """

    def commit(self, positions: Collection[Position]) -> None:
        """The group goes on from here after a restart; on return it is on record.

        Raises :class:`NotCommitted`.
        """

    def pause(self) -> None:
        """``poll`` gives nothing until ``resume``, also of partitions assigned meanwhile. Costs
        what was fetched ahead."""

    def resume(self) -> None:
        """The opposite of ``pause``."""

    def ends(self) -> Mapping[Partition, int]:
        """For each owned partition, as far as it is known, the offset that its next message
        will get. Asks nobody."""

    def close(self) -> None:
        """Leave the group; ``Owner.revoked`` is called for what is still owned."""


class Sink(Protocol):
    """Writes messages, at least once. May be used by several threads."""

    def deliver(self, messages: Collection[Outgoing]) -> None:
        """Returns when all are where the topic keeps them, on as many replicas as it asks for.

        Raises :class:`NotDelivered` after ten seconds or so, :class:`TooLarge` and
        :class:`TopicUnusable`; some of the messages may have been written then.
        """

    def close(self) -> None:
        """Give up what was not delivered."""


class Broker(Protocol):
    """Where topics are."""

    def ensure(self, topics: Sequence[Topic]) -> list[str]:
        """Make the topics that are missing; returns their names. What exists stays as it is.

        Raises :class:`TopicUnusable` and :class:`BrokerAway`.
        """

    def partitions(self, topic: str) -> int:
        """How many there are; raises :class:`TopicUnusable` and :class:`BrokerAway`."""

    def source(self, topics: Sequence[str], group: str, owner: Owner) -> Source:
        """Join a group; a new one begins with the oldest message."""

    def sink(self) -> Sink:
        """Somewhere to write to."""

    def read(
        self, topic: str, *, since_s: float | None = None, partition: int | None = None
    ) -> Generator[Message]:
        """All messages up to the end as it is now, or those of one partition, which are in order;
        from the first one not older than ``since_s`` (seconds since the epoch) on. No group is
        involved. Closed before, it fetches no more.

        Raises :class:`TopicUnusable` and :class:`BrokerAway`.
        """
