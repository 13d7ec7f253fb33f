"""The loop: messages in order to the graph, verdicts on record, outputs to topics, then commit.

One task reads and commits, one begins a batch after the other, and each batch has a task of its
own. A batch is prepared only when the one before it has been: so one user's events reach the
history in the order of their partition. What comes after that overlaps.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from opentelemetry.context import Context

from services.streaming.args import StreamArgs
from services.streaming.base import Broker, Message, Partition, StreamError
from services.streaming.counts import Counts, State, named
from services.streaming.fuse import Fuse
from services.streaming.member import Member
from services.streaming.outputs import Outputs
from services.streaming.progress import Ticket
from services.streaming.scoring import Outcome, Scoring, Traces
from services.telemetry import MOST_LINKS, NO_TRACING, Tracing

LOG = logging.getLogger("ztad.stream")

T = TypeVar("T")

#: Longest wait of one poll, seconds: so long what is ready waits to be committed.
POLL_S = 0.1
#: A batch waits so long for its turn before partitions are paused, seconds: pausing costs what was
#: fetched ahead.
PATIENCE_S = 1.0
#: A batch of less than half the most messages waits until fewer than this many are under way: its
#: calls cost as much as a large one's, and while it waits the one behind it grows.
MOST_SMALL = 3
#: Batches under way have so long to end before their partitions go to somebody else, seconds.
HAND_OVER_S = 10.0
#: The same when this process is to end, seconds.
STOP_S = 3.0
#: Pause before what failed is tried again, seconds: the first, and the longest.
FIRST_PAUSE_S = 0.2
MOST_PAUSE_S = 10.0


@dataclass(slots=True, eq=False)
class Batch:
    """Messages that are scored together. ``prepared`` lets the next batch begin; ``held`` says that
    it waits for somebody to close the fuse."""

    messages: Sequence[Message]
    ticket: Ticket
    prepared: asyncio.Event = field(default_factory=asyncio.Event)
    held: bool = False


class Worker:
    """One member of the consumer group. ``run`` it once; everything is for one event loop."""

    def __init__(
        self,
        broker: Broker,
        scoring: Scoring,
        args: StreamArgs,
        *,
        name: str = "",
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._broker = broker
        self._scoring = scoring
        self._args = args
        self._name = name
        self._tracing = tracing
        self._fuse = Fuse(share=args.fuse_share, window=args.fuse_window, least=args.fuse_least)
        self._next: asyncio.Queue[Batch] = asyncio.Queue(maxsize=1)
        self._ended = asyncio.Event()
        self._waiting: set[Batch] = set()
        self._under_way: dict[Batch, asyncio.Task[None]] = {}
        self._trouble: str | None = None
        self._stopping = False
        self.counts = Counts()
        self._member = Member(self.counts, self._settle)

    async def run(self) -> None:
        """Work until ``stop``; what is under way then is settled and committed."""
        await self._patiently(lambda: asyncio.to_thread(self._broker.ensure, self._args.topics))
        sink = self._broker.sink()
        outputs = Outputs(sink, self._args)
        try:
            await self._patiently(lambda: self._member.join(self._broker, self._args))
            async with asyncio.TaskGroup() as group:
                beginning = group.create_task(self._begin(group, outputs))
                try:
                    await self._read()
                finally:
                    beginning.cancel()
                    await self._member.leave()
                    for task in self._under_way.values():
                        task.cancel()
        finally:
            await asyncio.to_thread(sink.close)

    def stop(self) -> None:
        """Have ``run`` end soon."""
        self._stopping = True

    def close_fuse(self) -> None:
        """Let the worker go on after the fuse has blown."""
        if self._fuse.blown:
            LOG.warning("the fuse is closed again: the worker goes on")
        self._fuse.close()

    def state(self) -> State:
        """How it is."""
        return State(
            worker=self._name,
            consumed=self.counts.consumed,
            lag=named(self._member.lag),
            in_flight=len(self._under_way),
            paused=self._member.paused,
            fused=self._fuse.why or None,
            trouble=self._trouble,
        )

    async def _read(self) -> None:
        backlog: deque[Batch] = deque()
        while not self._stopping:
            messages = await self._patiently(
                lambda: self._member.poll(self._args.batch_events, POLL_S)
            )
            if messages:
                batch = Batch(messages, self._member.progress.begin(messages))
                self._waiting.add(batch)
                backlog.append(batch)
            await self._hand_on(backlog)

    async def _hand_on(self, backlog: deque[Batch]) -> None:
        """What is read has its turn; where that takes long, partitions pause, and the group goes on
        hearing of us."""
        member = self._member
        while backlog:
            try:
                async with asyncio.timeout(0 if member.paused else PATIENCE_S):
                    await self._next.put(backlog[0])
            except TimeoutError:
                if not member.paused:
                    await member.pause()
                return
            backlog.popleft()
        if member.paused:
            await member.resume()

    async def _begin(self, group: asyncio.TaskGroup, outputs: Outputs) -> None:
        """One batch after the other."""
        while True:
            batch = await self._next.get()
            await self._room(batch)
            await self._fuse.closed()
            self._waiting.discard(batch)
            self._under_way[batch] = group.create_task(self._work(batch, outputs))
            await batch.prepared.wait()

    async def _room(self, batch: Batch) -> None:
        """Wait until another batch of its size may be under way."""
        small = 2 * len(batch.messages) < self._args.batch_events
        most = min(MOST_SMALL, self._args.in_flight) if small else self._args.in_flight
        while len(self._under_way) >= most:
            self._ended.clear()
            await self._ended.wait()

    async def _work(self, batch: Batch, outputs: Outputs) -> None:
        """One batch from the topic to the topics."""
        outcome = Outcome()
        try:
            with self._tracing.batch(
                self._contexts(batch), len(batch.messages), "ztad.stream.batch"
            ):
                pieces = await self._patiently(
                    lambda: self._scoring.prepare(batch.messages, outcome)
                )
                await self._guard(batch, len(batch.messages), len(outcome.letters))
                batch.prepared.set()
                found = len(outcome.letters)
                await self._scoring.judge(pieces, outcome)
                await self._scoring.confirm(outcome)
                if len(outcome.letters) > found:
                    await self._guard(batch, 0, len(outcome.letters) - found)
                await self._patiently(lambda: asyncio.to_thread(outputs.write, outcome))
            batch.ticket.done()
            self.counts.add(outcome)
        finally:
            del self._under_way[batch]
            self._ended.set()
            batch.prepared.set()

    def _contexts(self, batch: Batch) -> list[Context]:
        """Of messages whose trace is recorded, as many as a span links to."""
        if not self._tracing.enabled:
            return []
        parents = Traces(batch.messages).recorded(len(batch.messages)).values()
        found = (self._tracing.context_of(parent) for parent in parents)
        return list(islice(filter(None, found), MOST_LINKS))

    async def _guard(self, batch: Batch, messages: int, dead: int) -> None:
        """Stop here, before anything of it is written, if too much of the input is dead."""
        if self._fuse.count(messages, dead):
            LOG.error(
                "the fuse has blown: %s. Nothing from here on is committed. See why with "
                "'ztad dlq list', then 'ztad stream resume'",
                self._fuse.why,
            )
            batch.held = True
            await self._fuse.closed()
            batch.held = False

    async def _settle(self, partitions: Collection[Partition]) -> None:
        """Drop what has not begun; wait for the rest, but not for somebody to close the fuse."""
        gone = frozenset(partitions)
        for batch in self._waiting:
            batch.messages = [each for each in batch.messages
                              if Partition(each.topic, each.partition) not in gone]  # fmt: skip
        ending = [each for each in self._under_way if gone & each.ticket.partitions]
        ending = [each for each in ending if not each.held]
        if ending:
            within_s = STOP_S if self._stopping else HAND_OVER_S
            await asyncio.wait([self._under_way[each] for each in ending], timeout=within_s)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again and again: what is away comes back, and what is forbidden is allowed."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                result = await attempt()
            except StreamError as error:
                if self._trouble != str(error):
                    LOG.warning("%s; tried again until it works", error)
                self._trouble = str(error)
                self.counts.failures += 1
                await asyncio.sleep(pause_s)
                pause_s = min(MOST_PAUSE_S, 2 * pause_s)
            else:
                self._trouble = None
                return result
