"""How far each partition has come: what may be committed, while several batches are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from services.streaming.base import Message, Partition, Position


class _Span:
    """The messages of one batch in one partition; ``after`` is the offset that follows them."""

    __slots__ = ("after", "done")

    def __init__(self, after: int) -> None:
        self.after = after
        self.done = False


class Ticket:
    """One batch under way: what of it is in which partition."""

    __slots__ = ("_spans",)

    def __init__(self, spans: dict[Partition, _Span]) -> None:
        self._spans = spans

    @property
    def partitions(self) -> frozenset[Partition]:
        """Where its messages are from."""
        return frozenset(self._spans)

    def done(self) -> None:
        """Everything that was to come of its messages is where it will be found again."""
        for span in self._spans.values():
            span.done = True


class Progress:
    """Batches begin in the order of their messages and end in any; a position may be committed
    when everything before it is done.

    >>> progress = Progress()
    >>> first = progress.begin([Message("t", 0, 7, b"", None, 0)])
    >>> second = progress.begin([Message("t", 0, 8, b"", None, 0)])
    >>> second.done(); progress.ready()
    []
    >>> first.done(); progress.ready()
    [Position(topic='t', partition=0, offset=9)]
    >>> progress.committed(progress.ready()); progress.ready()
    []
    """

    def __init__(self) -> None:
        self._spans: dict[Partition, deque[_Span]] = {}
        self._ready: dict[Partition, int] = {}
        self._at: dict[Partition, int] = {}

    def begin(self, messages: Sequence[Message]) -> Ticket:
        """A batch; messages of one partition must follow all that have begun before."""
        after: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (message.topic, message.partition)
            if place not in after:  # where we came in, if nothing was read before
                self._at.setdefault(Partition(*place), message.offset)
            after[place] = message.offset + 1
        spans = {Partition(*place): _Span(offset) for place, offset in after.items()}
        for at, span in spans.items():
            self._spans.setdefault(at, deque()).append(span)
        return Ticket(spans)

    def ready(self, among: Collection[Partition] | None = None) -> list[Position]:
        """What may be committed and is not yet, of some partitions or all."""
        for at, spans in self._spans.items():
            while spans and spans[0].done:
                self._ready[at] = spans.popleft().after
        return [
            Position(*at, offset)
            for at, offset in self._ready.items()
            if (among is None or at in among) and self._at.get(at) != offset
        ]

    def committed(self, positions: Collection[Position]) -> None:
        """The group has them on record."""
        for topic, number, offset in positions:
            self._at[Partition(topic, number)] = offset

    def lag(self, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Messages up to these ends that are not committed, of every partition that was read."""
        return {at: max(0, end - self._at[at]) for at, end in ends.items() if at in self._at}

    def forget(self, partitions: Collection[Partition]) -> None:
        """They have another owner now; what is still under way of them counts for nothing."""
        for at in partitions:
            self._spans.pop(at, None)
            self._ready.pop(at, None)
            self._at.pop(at, None)
