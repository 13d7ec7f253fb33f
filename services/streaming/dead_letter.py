"""Dead letters: messages that cannot be scored, kept with the reason until somebody decides.

Their topic is compacted and has one key per original message, ``topic:partition:offset``: written
twice it is still one letter, and a tombstone takes it away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from services.streaming.base import Broker, Header, Message, Outgoing, Sink

Reason = Literal[
    "invalid",  # the event breaks a rule: which field, what is expected
    "undecodable",  # the bytes are not of the format or schema that was agreed on
    "too_large",  # larger than an event can be
    "unscorable",  # a stage fails at this one event, again and again
]
TRACEPARENT = "traceparent"
#: How often a message was sent once more.
RETRIES = "ztad-retries"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was not scored, and why. Bytes are base64 in JSON.

    ``field`` is what is wrong of the event, ``body`` if it is all of it. ``value`` holds the
    original bytes, None when it had none or was larger than the topic takes (``value_bytes`` is
    how large). ``timestamp`` and ``headers`` are those of the original, ``failed_at`` is when it
    was given up.
    """

    reason: Reason
    field: str
    message: str
    topic: str
    partition: int
    offset: int
    value: bytes | None
    value_bytes: int
    key: bytes | None
    timestamp: datetime
    failed_at: datetime
    event_id: str | None = None
    traceparent: str | None = None
    headers: list[tuple[str, bytes]] = []

    @property
    def id(self) -> str:
        """``topic:partition:offset`` of the original."""
        return letter_id(self.topic, self.partition, self.offset)

    @property
    def retries(self) -> int:
        """How often the message was sent once more before."""
        told = dict(self.headers).get(RETRIES, b"0")
        return int(told) if told.isdigit() else 0

    def original(self) -> Outgoing:
        """The message as it came, to be sent once more; ValueError if its bytes were not kept."""
        if self.value is None and self.value_bytes:
            raise ValueError(
                f"{self.id}: {self.value_bytes:,} bytes were too many for the dead-letter topic; "
                f"read them at offset {self.offset} of {self.topic}"
            )
        others = [header for header in self.headers if header[0] != RETRIES]
        headers = [*others, (RETRIES, b"%d" % (self.retries + 1))]
        return Outgoing(self.topic, self.value, self.key, headers)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(DeadLetter)


def letter_id(topic: str, partition: int, offset: int) -> str:
    """The key of a letter.

    >>> letter_id("ztad.events", 3, 41)
    'ztad.events:3:41'
    """
    return f"{topic}:{partition}:{offset}"


def letter(
    message: Message,
    reason: Reason,
    field: str,
    problem: str,
    *,
    now_s: float,
    event_id: str | None = None,
) -> DeadLetter:
    """A letter about a message; ``problem`` says what was expected."""
    return DeadLetter(
        reason=reason,
        field=field,
        message=problem,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        value=message.value,
        value_bytes=len(message.value or b""),
        key=message.key,
        timestamp=datetime.fromtimestamp(message.timestamp_ms / 1000, UTC),
        failed_at=datetime.fromtimestamp(now_s, UTC),
        event_id=event_id,
        traceparent=traceparent_of(message.headers),
        headers=list(message.headers),
    )


def traceparent_of(headers: Sequence[Header]) -> str | None:
    """The trace that a message belongs to, if it says so."""
    for name, value in headers:
        if name == TRACEPARENT:
            return value.decode("ascii", "replace")
    return None


def encoded(topic: str, dead: DeadLetter, *, whole: bool = True) -> Outgoing:
    """A letter on its way to the dead-letter topic; ``whole=False`` leaves the original bytes out,
    for a topic that does not take as much."""
    if not whole:
        dead = msgspec.structs.replace(dead, value=None, headers=[])
    headers = [(TRACEPARENT, dead.traceparent.encode())] if dead.traceparent else []
    return Outgoing(topic, _ENCODER.encode(dead), dead.id.encode(), headers)


def tombstone(topic: str, letter_id: str) -> Outgoing:
    """What takes a letter away: its key without a value."""
    return Outgoing(topic, None, letter_id.encode())


def decoded(message: Message) -> DeadLetter | None:
    """The letter in a message of the dead-letter topic; None for a tombstone.

    Raises ValueError for what is no letter.
    """
    if message.value is None:
        return None
    try:
        return _DECODER.decode(message.value)
    except msgspec.DecodeError as error:
        at = f"{message.topic}, partition {message.partition}, offset {message.offset}"
        raise ValueError(f"{at}: expected a dead letter: {error}") from None


class DeadLetters:
    """The letters of a topic: to list, to send once more, to take away."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._sink: Sink | None = None

    def letters(self) -> Iterator[DeadLetter]:
        """Those nobody has decided about, oldest original first within each of its partitions.

        The broker compacts when it likes, so of every key the newest message counts. What is no
        letter is passed over. Raises :class:`services.streaming.base.StreamError`.
        """
        newest = {message.key: message for message in self._broker.read(self._topic) if message.key}
        found = [each for each in map(_letter_or_none, newest.values()) if each is not None]
        yield from sorted(found, key=lambda each: (each.topic, each.partition, each.offset))

    def retry(self, letters: Sequence[DeadLetter]) -> None:
        """Send the originals to their topics again, then take the letters away.

        An original without an ``event_id`` is a new event by its new place. Raises ValueError
        when the bytes of one were not kept, before any is sent, and ``StreamError``.
        """
        self._deliver([each.original() for each in letters])
        self.drop([each.id for each in letters])

    def drop(self, letter_ids: Sequence[str]) -> None:
        """Take letters away; raises ``StreamError``."""
        self._deliver([tombstone(self._topic, each) for each in letter_ids])

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _deliver(self, messages: Sequence[Outgoing]) -> None:
        if self._sink is None:
            self._sink = self._broker.sink()
        self._sink.deliver(messages)


def _letter_or_none(message: Message) -> DeadLetter | None:
    try:
        return decoded(message)
    except ValueError:
        return None
