"""A broker in this process: topics, groups with rebalances, tombstones. For tests and notebooks.

It behaves as Kafka does with the cooperative protocol: partitions move one member at a time, the
old owner is asked first, everything else is read on meanwhile.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection, Generator, Mapping, Sequence
from threading import Condition

from services.streaming.base import (
    BrokerAway,
    Message,
    NotCommitted,
    NotDelivered,
    Outgoing,
    Owner,
    Partition,
    Position,
    TooLarge,
    Topic,
    TopicUnusable,
)


class MemoryBroker:
    """Topics that end with the process. While ``away`` nobody is answered."""

    def __init__(self) -> None:
        self.away = False
        self.changed = Condition()
        self._topics: dict[str, list[list[Message]]] = {}
        self._settings: dict[str, Topic] = {}
        self._groups: dict[str, _Group] = {}

    def ensure(self, topics: Sequence[Topic]) -> list[str]:
        self._answer()
        missing = [topic for topic in topics if topic.name not in self._topics]
        for topic in missing:
            self._settings[topic.name] = topic
            self._topics[topic.name] = [[] for _ in range(topic.partitions)]
        return [topic.name for topic in missing]

    def partitions(self, topic: str) -> int:
        self._answer()
        return len(self._logs(topic))

    def source(self, topics: Sequence[str], group: str, owner: Owner) -> MemorySource:
        self._answer()
        every = [Partition(name, n) for name in topics for n in range(len(self._logs(name)))]
        with self.changed:
            joined = self._groups.setdefault(group, _Group())
            joined.partitions = sorted({*joined.partitions, *every})
            source = MemorySource(self, joined, owner)
            joined.members.append(source)
            joined.share()
            self.changed.notify_all()
        return source

    def sink(self) -> MemorySink:
        return MemorySink(self)

    def read(
        self, topic: str, *, since_s: float | None = None, partition: int | None = None
    ) -> Generator[Message]:
        self._answer()
        since_ms = -1 if since_s is None else int(since_s * 1000)
        logs = [list(log) for log in self._logs(topic)]
        for log in logs if partition is None else [logs[partition]]:
            yield from (message for message in log if message.timestamp_ms >= since_ms)

    def expel(self, source: MemorySource) -> None:
        """Take a member for dead that has not polled for too long, and give away what it had."""
        with self.changed:
            source.group.leave(source)
            self.changed.notify_all()

    def committed(self, group: str) -> dict[Partition, int]:
        """Where a group goes on from."""
        return dict(self._groups[group].committed)

    def log(self, partition: Partition) -> list[Message]:
        """What is in a partition."""
        return self._logs(partition.topic)[partition.number]

    def append(self, messages: Collection[Outgoing]) -> None:
        """Write messages; none of them when one is too large."""
        if self.away:
            raise NotDelivered("no broker answers; write the messages again")
        for message in messages:
            most = self._settings_of(message.topic).most_message_bytes
            if most is not None and len(message.value or b"") > most:
                raise TooLarge(f"{len(message.value or b''):,} bytes, {message.topic}: {most:,}")
        with self.changed:
            for message in messages:
                self._append(message)
            self.changed.notify_all()

    def _append(self, message: Outgoing) -> None:
        logs = self._logs(message.topic)
        number = (
            min(range(len(logs)), key=lambda n: len(logs[n]))
            if message.key is None
            else zlib.crc32(message.key) % len(logs)
        )
        logs[number].append(
            Message(
                message.topic,
                number,
                len(logs[number]),
                message.value,
                message.key,
                int(time.time() * 1000),
                tuple(message.headers),
            )
        )

    def _logs(self, topic: str) -> list[list[Message]]:
        self._settings_of(topic)
        return self._topics[topic]

    def _settings_of(self, topic: str) -> Topic:
        try:
            return self._settings[topic]
        except KeyError:
            raise TopicUnusable(f"topic {topic} does not exist: make it first") from None

    def _answer(self) -> None:
        if self.away:
            raise BrokerAway("no broker answers")


class _Group:
    """Who owns what, who is to own it, and from where everybody goes on."""

    def __init__(self) -> None:
        self.partitions: list[Partition] = []
        self.members: list[MemorySource] = []
        self.owners: dict[Partition, MemorySource] = {}
        self.wanted: dict[Partition, MemorySource] = {}
        self.committed: dict[Partition, int] = {}

    def share(self) -> None:
        """Decide anew who is to own what: as evenly as possible, and with few moves."""
        self.wanted = {}
        most = -(-len(self.partitions) // max(1, len(self.members)))
        held = dict.fromkeys(self.members, 0)
        for partition, owner in self.owners.items():
            if held.get(owner, most) < most:
                self.wanted[partition] = owner
                held[owner] += 1
        for partition in self.partitions:
            if partition not in self.wanted and held:
                least = min(held, key=lambda member: held[member])
                self.wanted[partition] = least
                held[least] += 1

    def leave(self, source: MemorySource) -> None:
        """Without asking it."""
        self.members = [member for member in self.members if member is not source]
        self.owners = {at: owner for at, owner in self.owners.items() if owner is not source}
        self.share()


class MemorySource:
    """One member of a group."""

    def __init__(self, broker: MemoryBroker, group: _Group, owner: Owner) -> None:
        self.group = group
        self._broker = broker
        self._owner = owner
        self._positions: dict[Partition, int] = {}
        self._paused = False

    def poll(self, most: int, timeout_s: float) -> list[Message]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._rebalance()
            with self._broker.changed:
                messages = self._fetch(most)
                left = deadline - time.monotonic()
                if messages or left <= 0:
                    return messages
                self._broker.changed.wait(left)

    def commit(self, positions: Collection[Position]) -> None:
        if self._broker.away:
            raise NotCommitted("no broker answers; the positions are committed later")
        with self._broker.changed:
            for topic, number, offset in positions:
                at = Partition(topic, number)
                if self.group.owners.get(at) is not self:
                    raise NotCommitted(f"partition {number} of {topic} has another owner")
                self.group.committed[at] = offset

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def ends(self) -> Mapping[Partition, int]:
        return {at: len(self._broker.log(at)) for at in self._positions}

    def close(self) -> None:
        self._give_back(list(self._positions))
        self._broker.expel(self)

    def _fetch(self, most: int) -> list[Message]:
        messages: list[Message] = []
        if self._paused or self._broker.away:
            return messages
        for at, offset in self._positions.items():
            found = self._broker.log(at)[offset : offset + most - len(messages)]
            self._positions[at] = offset + len(found)
            messages.extend(found)
        return messages

    def _rebalance(self) -> None:
        if self._broker.away:
            return
        group = self.group
        if self not in group.members:
            self._rejoin()
        self._give_back([at for at in self._positions if group.wanted.get(at) is not self])
        with self._broker.changed:
            free = [
                at
                for at, member in group.wanted.items()
                if member is self and at not in group.owners
            ]
            group.owners |= dict.fromkeys(free, self)
            for at in free:
                self._positions[at] = group.committed.get(at, 0)
        if free:
            self._owner.assigned(free)

    def _rejoin(self) -> None:
        lost, self._positions = list(self._positions), {}
        with self._broker.changed:
            self.group.members.append(self)
            self.group.share()
        if lost:
            self._owner.lost(lost)

    def _give_back(self, partitions: list[Partition]) -> None:
        if not partitions:
            return
        self._owner.revoked(partitions)
        with self._broker.changed:
            for at in partitions:
                del self._positions[at]
                self.group.owners.pop(at, None)
            self._broker.changed.notify_all()


class MemorySink:
    """Writes to topics of this process."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def deliver(self, messages: Collection[Outgoing]) -> None:
        self._broker.append(messages)

    def close(self) -> None:
        """There is nothing that was not delivered."""
