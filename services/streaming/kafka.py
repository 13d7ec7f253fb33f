"""Apache Kafka through librdkafka (confluent-kafka)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as Received
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.streaming.base import (
    BrokerAway,
    Message,
    NotCommitted,
    NotDelivered,
    Outgoing,
    Owner,
    Partition,
    Position,
    StreamError,
    TooLarge,
    Topic,
    TopicUnusable,
)

LOG = logging.getLogger("ztad.kafka")

#: Longest wait for an answer of the brokers to a question, seconds.
ANSWER_WITHIN_S = 10.0
#: A message that no broker has confirmed after so long counts as not delivered, seconds.
DELIVER_WITHIN_S = 10.0
#: More messages may follow the first of a poll within this time, seconds.
GATHER_S = 0.005
#: Largest message we send; topics take less by default (1 MiB).
MOST_MESSAGE_BYTES = 16 << 20
#: Messages that are fetched and not polled yet, KiB.
FETCHED_AHEAD_KB = 16 << 10
#: A member that is not heard of for so long is dead, ms: what a kill costs until others go on.
SESSION_MS = 10_000
#: A member hears with its heartbeat that partitions move; three seconds, the default, would be the
#: time for which nobody reads them.
HEARTBEAT_MS = 500
#: Longest pause between two polls, ms; the worker polls while it waits, so only a hung one is late.
POLL_WITHIN_MS = 120_000

#: The group that a reader without a group has to name; it commits nothing.
READER = "ztad-reader"

_ACCESS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)
# librdkafka's own errors begin with an underscore.
_MISSING = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)
_CREDENTIALS = (KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION)  # noqa: SLF001
_NOBODY = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001
_END = KafkaError._PARTITION_EOF  # noqa: SLF001
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)


class KafkaBroker:
    """A Kafka cluster. ``connection`` is librdkafka's configuration of how to reach it, see
    ``connection.py``."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        # Its own lines on stderr say what ``error_cb`` is told as well, again and again.
        self._connection = {**connection, "error_cb": _tell, "log_level": 2}

    def ensure(self, topics: Sequence[Topic]) -> list[str]:
        admin = AdminClient(self._connection)
        there = _asked(lambda: admin.list_topics(timeout=ANSWER_WITHIN_S)).topics
        missing = [topic for topic in topics if topic.name not in there]
        if not missing:
            return []
        made = admin.create_topics([_new(topic) for topic in missing],
                                   request_timeout=ANSWER_WITHIN_S)  # fmt: skip
        return [name for name, future in made.items() if _made(name, future)]

    def partitions(self, topic: str) -> int:
        admin = AdminClient(self._connection)
        found = _asked(lambda: admin.list_topics(topic, timeout=ANSWER_WITHIN_S)).topics[topic]
        if found.error is not None:
            raise _error(found.error, topic)
        return len(found.partitions)

    def source(self, topics: Sequence[str], group: str, owner: Owner) -> KafkaSource:
        return KafkaSource(self._connection, topics, group, owner)

    def sink(self) -> KafkaSink:
        return KafkaSink(self._connection)

    def read(
        self, topic: str, *, since_s: float | None = None, partition: int | None = None
    ) -> Generator[Message]:
        every = range(self.partitions(topic)) if partition is None else [partition]
        partitions = [TopicPartition(topic, number) for number in every]
        consumer = _consumer(self._connection, READER)
        try:
            yield from _read(consumer, partitions, since_s)
        finally:
            consumer.close()


class KafkaSource:
    """One member of a consumer group, by the cooperative protocol."""

    def __init__(
        self, connection: Mapping[str, Any], topics: Sequence[str], group: str, owner: Owner
    ) -> None:
        self._owner = owner
        self._owned: set[Partition] = set()
        self._paused = False
        self._consumer = _consumer(connection, group)
        self._consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def poll(self, most: int, timeout_s: float) -> list[Message]:
        received = _asked(lambda: _consumed(self._consumer, most, timeout_s))
        messages = [_message(each) for each in received if _is_message(each)]
        if not {(each.topic, each.partition) for each in messages} <= self._owned:
            return [each for each in messages if (each.topic, each.partition) in self._owned]
        return messages

    def commit(self, positions: Collection[Position]) -> None:
        offsets = [TopicPartition(*position) for position in positions]
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise NotCommitted(f"positions are not committed: {error.args[0].str()}") from None
        failed = [each.error for each in done if each.error is not None]
        if failed:
            raise NotCommitted(f"positions are not committed: {failed[0].str()}")

    def pause(self) -> None:
        self._paused = True
        self._consumer.pause(self._assignment())

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(self._assignment())

    def ends(self) -> Mapping[Partition, int]:
        ends = {
            each: self._consumer.get_watermark_offsets(TopicPartition(*each), cached=True)[1]
            for each in self._owned
        }
        return {each: end for each, end in ends.items() if end >= 0}

    def close(self) -> None:
        self._consumer.close()

    def _assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*each) for each in self._owned]

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if self._paused:
            consumer.pause(partitions)
        fresh = _partitions(partitions)
        self._owned |= set(fresh)
        if fresh:
            self._owner.assigned(fresh)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = _partitions(partitions)
        try:
            if gone:
                self._owner.revoked(gone)
        finally:
            self._owned -= set(gone)
            consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = _partitions(partitions)
        self._owned -= set(gone)
        self._owner.lost(gone)
        consumer.incremental_unassign(partitions)


class KafkaSink:
    """An idempotent producer: what it repeats by itself is in the topic once, and in order."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._producer = Producer(
            {
                **connection,
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                # As Kafka's own clients choose a partition for a key.
                "partitioner": "murmur2_random",
                "message.timeout.ms": int(DELIVER_WITHIN_S * 1000),
                # Shorter than that, so that a missing topic is called missing.
                "topic.metadata.propagation.max.ms": int(DELIVER_WITHIN_S * 500),
                "message.max.bytes": MOST_MESSAGE_BYTES,
                # A call for each message that arrived would cost as much as sending it.
                "delivery.report.only.error": True,
            }
        )

    def deliver(self, messages: Collection[Outgoing]) -> None:
        failed: list[tuple[KafkaError, str | None]] = []

        def told(error: KafkaError | None, message: Received) -> None:
            if error is not None:
                failed.append((error, message.topic()))

        produce = self._producer.produce
        for message in messages:
            try:
                produce(
                    message.topic,
                    message.value,
                    message.key,
                    on_delivery=told,
                    headers=list(message.headers) or None,
                )
            except BufferError:
                raise NotDelivered("too many messages wait for the brokers") from None
            except KafkaException as problem:
                raise _error(problem.args[0], message.topic) from None
        left = self._producer.flush(DELIVER_WITHIN_S + 1)
        if failed:
            error, topic = failed[0]
            raise _error(error, topic or "", else_=NotDelivered)
        if left:
            raise NotDelivered(f"{left:,} messages are not confirmed")

    def close(self) -> None:
        self._producer.purge()
        self._producer.flush(1.0)


def _consumer(connection: Mapping[str, Any], group: str) -> Consumer:
    return Consumer(
        {
            **connection,
            "group.id": group,
            "partition.assignment.strategy": "cooperative-sticky",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "max.poll.interval.ms": POLL_WITHIN_MS,
            "queued.max.messages.kbytes": FETCHED_AHEAD_KB,
            # The newest messages may be gone by compaction: then the end is told all the same.
            "enable.partition.eof": group == READER,
        }
    )


def _consumed(consumer: Consumer, most: int, timeout_s: float) -> list[Received]:
    """What is there, or what comes within the time: librdkafka waits until it has ``most``."""
    received = consumer.consume(most, 0.0) or consumer.consume(1, timeout_s)
    if len(received) == 1 < most:
        received += consumer.consume(most - 1, GATHER_S)
    return received


def _read(
    consumer: Consumer, partitions: list[TopicPartition], since_s: float | None
) -> Generator[Message]:
    """Partitions up to their ends as they are now."""
    ends = _ends(consumer, partitions, since_s)
    if not ends:
        return
    consumer.assign(list(ends))
    left = {at.partition: end for at, end in ends.items()}
    while left:
        received = _asked(lambda: _consumed(consumer, 1000, ANSWER_WITHIN_S))
        if not received:
            raise BrokerAway(f"Kafka: no answer within {ANSWER_WITHIN_S:.0f} s")
        for each in received:
            number, error = each.partition() or 0, each.error()
            if error is not None and error.code() == _END:
                left.pop(number, None)
            elif number in left and _is_message(each):
                message = _message(each)
                if message.offset < left[number]:
                    yield message
                if message.offset >= left[number] - 1:
                    del left[number]


def _ends(
    consumer: Consumer, partitions: list[TopicPartition], since_s: float | None
) -> dict[TopicPartition, int]:
    """Of the partitions that have anything to read: where to begin, and where they end."""
    ends: dict[TopicPartition, int] = {}
    if since_s is not None:
        wanted = [TopicPartition(at.topic, at.partition, int(since_s * 1000)) for at in partitions]
        partitions = _asked(lambda: consumer.offsets_for_times(wanted, timeout=ANSWER_WITHIN_S))
    for at in partitions:
        first, end = _asked(partial(consumer.get_watermark_offsets, at, timeout=ANSWER_WITHIN_S))
        begin = first if since_s is None else at.offset
        if 0 <= begin < end:
            ends[TopicPartition(at.topic, at.partition, begin)] = end
    return ends


def _message(received: Received) -> Message:
    return Message(
        received.topic() or "",
        received.partition() or 0,
        received.offset() or 0,
        received.value(),
        received.key(),
        received.timestamp()[1],
        received.headers() or (),  # type: ignore[arg-type]
    )


def _is_message(received: Received) -> bool:
    """Whether it is one; raises what it tells of if that does not mend itself."""
    error = received.error()
    if error is None:
        return True
    if error.code() in (*_ACCESS, *_MISSING, *_CREDENTIALS) or error.fatal():
        raise _error(error, received.topic() or "")
    LOG.warning("Kafka: %s", error.str())
    return False


def _new(topic: Topic) -> NewTopic:
    config = {}
    if topic.compacted:
        config["cleanup.policy"] = "compact"
    if topic.most_message_bytes is not None:
        config["max.message.bytes"] = str(topic.most_message_bytes)
    return NewTopic(topic.name, topic.partitions, topic.replicas or -1, config=config)


def _made(name: str, future: Any) -> bool:
    """Whether we made it: somebody else may have been faster."""
    try:
        future.result(ANSWER_WITHIN_S)
    except KafkaException as error:
        problem = error.args[0]
        if problem.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise TopicUnusable(
            f"topic {name} is missing and cannot be made ({problem.str()}): make it, or let this "
            "user CREATE it"
        ) from None
    return True


def _asked(question: Any) -> Any:
    """The answer of librdkafka, or a :class:`StreamError`."""
    try:
        return question()
    except KafkaException as error:
        raise _error(error.args[0], "") from None


def _error(error: KafkaError, topic: str, else_: type[StreamError] = BrokerAway) -> StreamError:
    """What a complaint of Kafka means to us."""
    code, said = error.code(), error.str()
    if code in _TOO_LARGE:
        return TooLarge(f"{topic}: {said}")
    if code in _MISSING:
        return TopicUnusable(f"topic {topic} does not exist: make it with 'ztad stream topics'")
    if code in _ACCESS:
        return TopicUnusable(f"{topic}: {said}; let this user READ events, WRITE the other topics")
    if code in _CREDENTIALS:
        return StreamError(f"Kafka refuses us ({said}): check security, mechanism, "
                           "ZTAD_KAFKA_USERNAME and ZTAD_KAFKA_PASSWORD")  # fmt: skip
    if code in _NOBODY:
        return else_(f"Kafka: no broker answers ({said}): start it, or correct ZTAD_KAFKA")
    return else_(f"Kafka: {said}")


def _partitions(found: Collection[TopicPartition]) -> list[Partition]:
    return [Partition(each.topic, each.partition) for each in found]


def _tell(error: KafkaError) -> None:
    """Brokers that come and go are told here; librdkafka goes on by itself."""
    LOG.warning("Kafka: %s", error.str())
