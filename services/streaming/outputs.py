"""What leaves for topics: every verdict, those over the threshold once more, and dead letters."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.streaming.args import StreamArgs
from services.streaming.base import Header, Message, Outgoing, Sink, TooLarge
from services.streaming.dead_letter import TRACEPARENT, encoded, traceparent_of
from services.streaming.scoring import Outcome

#: Verdicts are written at least once: by this header, or the same key of the document, readers
#: recognise what they have already.
EVENT_ID = "event_id"
#: A letter goes without the original bytes, where there are more, once a topic has refused it.
LARGE_BYTES = 64 << 10


class _Head(msgspec.Struct):
    """What decides where a verdict goes."""

    event_id: str
    user_id: str
    is_anomaly: bool


_HEAD = msgspec.json.Decoder(_Head)


class Outputs:
    """Writes what became of batches. Used from any thread."""

    def __init__(self, sink: Sink, args: StreamArgs) -> None:
        self._sink = sink
        self._args = args

    def write(self, outcome: Outcome) -> None:
        """Returns when everything is where the topics keep it; raises ``StreamError``: write all of
        it again."""
        messages = list(self._verdicts(outcome.verdicts))
        if messages:
            self._sink.deliver(messages)
        if outcome.letters:
            self._write_letters(outcome)

    def _verdicts(self, verdicts: Iterable[tuple[Message, bytes]]) -> Iterable[Outgoing]:
        every, alerts = self._args.verdicts, self._args.alerts
        if every is None and alerts is None:
            return
        for message, verdict in verdicts:
            head = _HEAD.decode(verdict)
            key = head.user_id.encode()
            headers = _headers(head.event_id, message)
            if every is not None:
                yield Outgoing(every, verdict, key, headers)
            if alerts is not None and head.is_anomaly:
                yield Outgoing(alerts, verdict, key, headers)

    def _write_letters(self, outcome: Outcome) -> None:
        topic = self._args.dead_letters
        try:
            self._sink.deliver([encoded(topic, each) for each in outcome.letters])
        except TooLarge:
            self._sink.deliver(
                [
                    encoded(topic, each, whole=each.value_bytes <= LARGE_BYTES)
                    for each in outcome.letters
                ]
            )


def _headers(event_id: str, message: Message) -> list[Header]:
    headers = [(EVENT_ID, event_id.encode())]
    if message.headers and (parent := traceparent_of(message.headers)) is not None:
        headers.append((TRACEPARENT, parent.encode()))
    return headers
