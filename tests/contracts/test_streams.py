"""What every broker does, in memory and Kafka alike."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator

import pytest

from services.streaming.base import (
    Broker,
    Message,
    NotCommitted,
    Outgoing,
    Partition,
    Position,
    Source,
    TooLarge,
    Topic,
    TopicUnusable,
)
from services.streaming.memory import MemoryBroker

#: A group of Kafka's takes a few seconds to agree on who owns what.
WITHIN_S = 30.0


@pytest.fixture
def topic(broker: Broker, name: str) -> str:
    """A topic of four partitions."""
    broker.ensure([Topic(name, 4, replicas=1)])
    return name


class Listener:
    """Notes what a source is told; commits ``ready`` when partitions are taken away."""

    def __init__(self) -> None:
        self.owned: set[Partition] = set()
        self.lost_: set[Partition] = set()
        self.source: Source | None = None
        self.ready: dict[Partition, int] = {}

    def assigned(self, partitions: Collection[Partition]) -> None:
        self.owned |= set(partitions)

    def revoked(self, partitions: Collection[Partition]) -> None:
        self.owned -= set(partitions)
        ready = [Position(*each, self.ready[each]) for each in partitions if each in self.ready]
        if self.source is not None and ready:
            self.source.commit(ready)

    def lost(self, partitions: Collection[Partition]) -> None:
        self.owned -= set(partitions)
        self.lost_ |= set(partitions)


@pytest.fixture
def join(broker: Broker) -> Iterator[Callable[[str, str], tuple[Source, Listener]]]:
    """Opens sources, and closes them after the test."""
    opened: list[Source] = []

    def open_one(topic: str, group: str) -> tuple[Source, Listener]:
        listener = Listener()
        source = broker.source([topic], group, listener)
        listener.source = source
        opened.append(source)
        return source, listener

    yield open_one
    for source in opened:
        source.close()


Join = Callable[[str, str], tuple[Source, Listener]]


def write(broker: Broker, topic: str, *values: str, key: str | None = None) -> None:
    sink = broker.sink()
    sink.deliver([Outgoing(topic, each.encode(), key.encode() if key else None) for each in values])
    sink.close()


def write_numbers(broker: Broker, topic: str, numbers: range) -> None:
    """Each number as a message of a user of its own."""
    sink = broker.sink()
    sink.deliver([Outgoing(topic, f"{n}".encode(), f"user {n}".encode()) for n in numbers])
    sink.close()


def gather(source: Source, wanted: int, most: int = 500) -> list[Message]:
    """Poll until so many messages have come."""
    found: list[Message] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < wanted:
        assert time.monotonic() < deadline, f"{len(found)} of {wanted} messages"
        found += source.poll(most, 0.2)
    return found


def values(messages: Collection[Message]) -> list[str]:
    return [(message.value or b"").decode() for message in messages]


def ends(messages: Collection[Message]) -> list[Position]:
    """Positions after these messages."""
    after = {(each.topic, each.partition): each.offset + 1 for each in messages}
    return [Position(*at, offset) for at, offset in after.items()]


def test_messages_of_one_key_stay_in_order(broker: Broker, topic: str, join: Join) -> None:
    for user in ("ann", "bob", "eve"):
        write(broker, topic, *(f"{user}{n}" for n in range(20)), key=user)
    source, _ = join(topic, topic)
    messages = gather(source, 60, most=7)
    for user in ("ann", "bob", "eve"):
        of_user = [message for message in messages if message.key == user.encode()]
        assert values(of_user) == [f"{user}{n}" for n in range(20)]
        assert len({message.partition for message in of_user}) == 1


def test_a_message_comes_as_it_was_written(broker: Broker, topic: str, join: Join) -> None:
    before_ms = int(time.time() * 1000)
    sink = broker.sink()
    sink.deliver([Outgoing(topic, b"\xff\x00", b"k", [("a", b"1"), ("a", b"\xfe")]),
                  Outgoing(topic, None, b"k")])  # fmt: skip
    sink.close()
    source, _ = join(topic, topic)
    first, second = gather(source, 2)
    assert (first.value, first.key, first.topic, first.offset) == (b"\xff\x00", b"k", topic, 0)
    assert list(first.headers) == [("a", b"1"), ("a", b"\xfe")]
    assert before_ms <= first.timestamp_ms <= int(time.time() * 1000)
    assert (second.value, second.offset, list(second.headers)) == (None, 1, [])


def test_nothing_is_committed_by_itself(broker: Broker, topic: str, join: Join) -> None:
    write(broker, topic, "a", "b", "c", key="k")
    source, _ = join(topic, topic)
    assert values(gather(source, 3)) == ["a", "b", "c"]
    source.close()
    again, _ = join(topic, topic)
    assert values(gather(again, 3)) == ["a", "b", "c"]


def test_a_group_goes_on_from_what_it_committed(broker: Broker, topic: str, join: Join) -> None:
    write(broker, topic, "a", "b", "c", key="k")
    source, _ = join(topic, topic)
    messages = gather(source, 3)
    source.commit(ends(messages[:2]))
    source.close()
    again, _ = join(topic, topic)
    assert values(gather(again, 1)) == ["c"]
    other, _ = join(topic, f"{topic}.other")
    assert values(gather(other, 3)) == ["a", "b", "c"]


def test_members_of_a_group_share_its_partitions(broker: Broker, topic: str, join: Join) -> None:
    one, first = join(topic, topic)
    other, second = join(topic, topic)
    deadline = time.monotonic() + WITHIN_S
    while (len(first.owned), len(second.owned)) != (2, 2):
        assert time.monotonic() < deadline
        one.poll(10, 0.1)
        other.poll(10, 0.1)
    assert not first.owned & second.owned
    write_numbers(broker, topic, range(40))
    found: list[Message] = []
    while len(found) < 40:
        assert time.monotonic() < deadline
        for source, listener in ((one, first), (other, second)):
            messages = source.poll(10, 0.1)
            assert {Partition(each.topic, each.partition) for each in messages} <= listener.owned
            found += messages
    assert sorted(values(found), key=int) == [f"{n}" for n in range(40)]


def test_what_is_committed_when_partitions_move_is_not_read_again(
    broker: Broker, topic: str, join: Join
) -> None:
    write_numbers(broker, topic, range(40))
    one, first = join(topic, topic)
    messages = gather(one, 40)
    first.ready = {Partition(*at[:2]): at.offset for at in ends(messages)}
    other, second = join(topic, topic)
    deadline = time.monotonic() + WITHIN_S
    while len(second.owned) < 2:
        assert time.monotonic() < deadline
        assert one.poll(10, 0.1) == []
        assert other.poll(10, 0.1) == []
    moved = set(second.owned)
    assert not moved & first.owned
    write_numbers(broker, topic, range(40, 80))
    found: list[Message] = []
    while len(found) < 40:
        assert time.monotonic() < deadline
        found += one.poll(10, 0.1) + other.poll(10, 0.1)
    assert sorted(values(found), key=int) == [f"{n}" for n in range(40, 80)]


def test_a_paused_source_gives_nothing_and_loses_nothing(
    broker: Broker, topic: str, join: Join
) -> None:
    source, listener = join(topic, topic)
    source.pause()
    deadline = time.monotonic() + WITHIN_S
    while len(listener.owned) < 4:  # also what it comes to own meanwhile is paused
        assert time.monotonic() < deadline
        assert source.poll(10, 0.1) == []
    write(broker, topic, "a", "b", key="k")
    assert source.poll(10, 0.5) == []
    source.resume()
    assert values(gather(source, 1, most=1)) == ["a"]
    source.pause()
    assert source.poll(10, 0.3) == []
    source.resume()
    assert values(gather(source, 1)) == ["b"]


def test_a_source_knows_where_its_partitions_end(broker: Broker, topic: str, join: Join) -> None:
    write(broker, topic, "a", "b", "c", key="k")
    source, _ = join(topic, topic)
    [at] = {Partition(each.topic, each.partition) for each in gather(source, 3)}
    assert source.ends()[at] == 3


def test_only_missing_topics_are_made(broker: Broker, topic: str) -> None:
    fresh = f"{topic}.fresh"
    assert broker.ensure([Topic(topic, 9), Topic(fresh, 2, compacted=True, replicas=1)]) == [fresh]
    assert (broker.partitions(topic), broker.partitions(fresh)) == (4, 2)
    assert broker.ensure([Topic(topic), Topic(fresh)]) == []


def test_a_topic_that_is_missing_is_named(broker: Broker, topic: str) -> None:
    with pytest.raises(TopicUnusable, match=f"{topic}.nowhere"):
        broker.partitions(f"{topic}.nowhere")
    with pytest.raises(TopicUnusable, match=f"{topic}.nowhere"):
        list(broker.read(f"{topic}.nowhere"))
    sink = broker.sink()
    with pytest.raises(TopicUnusable, match=f"{topic}.nowhere"):
        sink.deliver([Outgoing(f"{topic}.nowhere", b"x")])
    sink.close()


def test_a_topic_is_read_up_to_its_end(broker: Broker, topic: str) -> None:
    write_numbers(broker, topic, range(20))
    assert sorted(values(list(broker.read(topic))), key=int) == [f"{n}" for n in range(20)]
    assert list(broker.read(topic, since_s=time.time() + 3600)) == []
    assert len(list(broker.read(topic, since_s=time.time() - 3600))) == 20


def test_a_reader_that_has_enough_closes(broker: Broker, topic: str) -> None:
    write_numbers(broker, topic, range(20))
    reading = broker.read(topic)
    assert next(reading).value is not None
    reading.close()
    assert list(reading) == []


def test_what_is_too_large_for_a_topic_is_said(broker: Broker, topic: str) -> None:
    small = f"{topic}.small"
    broker.ensure([Topic(small, 1, replicas=1, most_message_bytes=2000)])
    sink = broker.sink()
    with pytest.raises(TooLarge, match=small):
        sink.deliver([Outgoing(small, secrets.token_bytes(5000))])
    sink.deliver([Outgoing(small, b"fits")])
    sink.close()
    assert values(list(broker.read(small))) == ["fits"]


def test_nobody_commits_what_somebody_else_owns() -> None:
    """Only in memory can a member be thrown out at will."""
    memory = MemoryBroker()
    memory.ensure([Topic("t", 1)])
    write(memory, "t", "a")
    listener = Listener()
    slow = memory.source(["t"], "g", listener)
    assert values(slow.poll(10, 0.0)) == ["a"]
    memory.expel(slow)
    other = memory.source(["t"], "g", Listener())
    assert values(other.poll(10, 0.0)) == ["a"]
    with pytest.raises(NotCommitted, match="another owner"):
        slow.commit([Position("t", 0, 1)])
    slow.poll(10, 0.0)
    assert listener.lost_ == {Partition("t", 0)}
