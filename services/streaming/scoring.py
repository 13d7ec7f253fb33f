"""Messages in, verdicts and dead letters out: what happens to one batch between topic and topic.

A message never takes its neighbours along: what breaks a rule is told apart by the Preprocessor,
and where a stage fails at a whole batch, that is halved until the one message is found.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.pipeline import Pipeline, Prepared, Scored
from services.streaming.base import Message
from services.streaming.dead_letter import DeadLetter, Reason, letter, traceparent_of
from services.telemetry import trace_id
from services.wire import ItemError

LOG = logging.getLogger("ztad.stream")

#: One event is a few hundred bytes; a megabyte is an attack or a mistake, as over HTTP.
MOST_EVENT_BYTES = 1 << 20


class Undecodable(ValueError):
    """Bytes that are not of the agreed format or schema; the text says what was expected."""


class Oversized(ValueError):
    """More bytes than an event can have."""


class Decode(Protocol):
    """The value of a message -> one event as JSON. Used and closed in one event loop."""

    async def __call__(self, value: bytes) -> bytes:
        """Raises :class:`Undecodable`, or ``StreamError`` while nobody can tell."""

    async def close(self) -> None:
        """Let go of what it asks."""


@dataclass(slots=True)
class Piece:
    """Messages that were prepared together; ``prepared`` is None when a stage failed at the one
    message."""

    messages: Sequence[Message]
    prepared: Prepared | None


@dataclass(slots=True)
class Outcome:
    """What became of a batch: in the end each message has a verdict or a letter. ``scored`` holds
    what was judged, with its messages."""

    scored: list[tuple[Sequence[Message], Scored]] = field(default_factory=list)
    verdicts: list[tuple[Message, bytes]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class Scoring:
    """Scores batches through a pipeline, which has to be patient. ``decode`` None: values are
    JSON."""

    def __init__(
        self, pipeline: Pipeline, now: Callable[[], float], decode: Decode | None = None
    ) -> None:
        self._pipeline = pipeline
        self._now = now
        self._decode = decode

    async def prepare(self, messages: Sequence[Message], outcome: Outcome) -> list[Piece]:
        """Have the history take in what can be events; what cannot is in ``outcome`` then.

        Raises ``StreamError``, before anything else has happened, while nothing can be decoded.
        """
        refused = Outcome()
        values: list[bytes] = []
        events: list[Message] = []
        for message in messages:
            try:
                values.append(await value_of(message, self._decode))
            except Undecodable as error:
                self._refuse(refused, message, "undecodable", "body", str(error))
            except Oversized as error:
                self._refuse(refused, message, "too_large", "body", str(error))
            else:
                events.append(message)
        outcome.letters.extend(refused.letters)
        pieces = await self._prepared(events, values) if events else []
        for piece in pieces:
            self._sort_out(piece, outcome)
        return pieces

    async def judge(self, pieces: Iterable[Piece], outcome: Outcome) -> None:
        """Have verdicts made of what was prepared."""
        for piece in pieces:
            await self._judge(piece, outcome)

    async def confirm(self, outcome: Outcome) -> None:
        """Wait, however long it takes, until the verdicts are durable."""
        for messages, scored in outcome.scored:
            if all([await receipt for receipt in scored.receipts]):
                outcome.verdicts += [
                    (message, answer)
                    for message, answer in zip(messages, scored.answers, strict=True)
                    if not isinstance(answer, ItemError)
                ]
            else:
                for message, answer in zip(messages, scored.answers, strict=True):
                    if not isinstance(answer, ItemError):
                        said = "the store refuses its verdict; the Recorder's log says why"
                        self._refuse(outcome, message, "unscorable", "body", said)

    async def _prepared(self, messages: list[Message], values: list[bytes]) -> list[Piece]:
        try:
            return [Piece(messages, await self._pipeline.prepare(values, "events", _ids(messages)))]
        except Exception as error:  # noqa: BLE001 - a fault of a stage must not stop a partition
            LOG.warning("%d messages cannot be prepared: %s", len(messages), error)
            if len(messages) == 1:
                return [Piece(messages, None)]
            half = len(messages) // 2
            return [
                *await self._prepared(messages[:half], values[:half]),
                *await self._prepared(messages[half:], values[half:]),
            ]

    def _sort_out(self, piece: Piece, outcome: Outcome) -> None:
        """Letters about what breaks a rule."""
        if piece.prepared is None:
            self._give_up(outcome, piece.messages[0])
            return
        for error in piece.prepared.features.errors:
            message = piece.messages[error.index]
            # What breaks a rule of an event has a field; the body as a whole is no JSON object.
            reason: Reason = "undecodable" if error.field == "body" else "invalid"
            self._refuse(outcome, message, reason, error.field, error.message, error.event_id)

    async def _judge(self, piece: Piece, outcome: Outcome) -> None:
        messages, prepared = piece.messages, piece.prepared
        if prepared is None or not prepared.features.parts:
            return
        traces = Traces(messages)
        try:
            scored = await self._pipeline.judge(prepared, traces.ids, traces.recorded, durable=True)
        except Exception as error:  # noqa: BLE001 - a fault of a stage must not stop a partition
            LOG.warning("%d messages cannot be judged: %s", len(messages), error)
            await self._judge_apart(messages, prepared, outcome)
            return
        outcome.scored.append((messages, scored))

    async def _judge_apart(
        self, messages: Sequence[Message], prepared: Prepared, outcome: Outcome
    ) -> None:
        """Find the message that a stage fails at; for the history the others are repeats now."""
        refused = {error.index for error in prepared.features.errors}
        rest = [message for index, message in enumerate(messages) if index not in refused]
        if len(rest) == 1:
            self._give_up(outcome, rest[0])
            return
        half = len(rest) // 2
        for some in (rest[:half], rest[half:]):
            await self.judge(await self.prepare(some, outcome), outcome)

    def _give_up(self, outcome: Outcome, message: Message) -> None:
        said = "a stage fails at this event; its log says why"
        self._refuse(outcome, message, "unscorable", "body", said)

    def _refuse(
        self,
        outcome: Outcome,
        message: Message,
        reason: Reason,
        field: str,
        problem: str,
        event_id: str | None = None,
    ) -> None:
        outcome.letters.append(
            letter(message, reason, field, problem, now_s=self._now(), event_id=event_id)
        )


async def value_of(message: Message, decode: Decode | None) -> bytes:
    """The event in a message, as JSON. ``decode`` None: that is what messages hold.

    Raises :class:`Undecodable`, :class:`Oversized`, and ``StreamError`` while nobody can tell.
    """
    value = message.value
    if value is None:
        raise Undecodable("expected an event, got a message without a value")
    if len(value) > MOST_EVENT_BYTES:
        raise Oversized(f"{len(value):,} bytes, expected at most {MOST_EVENT_BYTES:,}")
    return value if decode is None else await decode(value)


class Traces:
    """The traces that messages say they belong to."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.parents = {
            index: parent
            for index, message in enumerate(messages)
            if message.headers and (parent := traceparent_of(message.headers)) is not None
        }

    def ids(self, items: int) -> Sequence[str]:
        """Each item's trace id: its own, or one that the batch shares."""
        shared = f"{random.getrandbits(128):032x}"
        ids = [shared] * items
        for index, parent in self.parents.items():
            ids[index] = trace_id(parent.encode(), None)
        return ids

    def recorded(self, items: int) -> Mapping[int, str]:
        """The ``traceparent`` of those whose trace is recorded."""
        return {index: parent for index, parent in self.parents.items() if parent[-1:] == "1"}


def id_by_place(message: Message) -> str:
    """What an event without an id is called: by its place, which a second reading does not
    change."""
    return f"{message.topic}-{message.partition}-{message.offset}"


def _ids(messages: Sequence[Message]) -> list[str]:
    return [id_by_place(message) for message in messages]
