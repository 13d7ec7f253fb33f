"""Concurrent single events become micro-batches whose size follows the load.

A call between deployments costs about 2 ms of CPU whatever it carries, so calls must be shared.
There is no window to wait for: an event that finds a free slot leaves at once, alone if need be;
while all slots are busy events gather, and the next free slot takes all of them (up to a bound).
Under load one large batch after the other costs least, so that a second one leaves beside the
first only while that is small.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Overloaded(RuntimeError):
    """More is waiting than can be answered in time; ``retry_after_s`` says when to come again."""

    def __init__(self, waiting: int, retry_after_s: int = 1) -> None:
        super().__init__(f"{waiting:,} events are waiting; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Abandoned(RuntimeError):
    """The call that was to answer a batch was cancelled under way; it may be made again."""

    def __init__(self) -> None:
        super().__init__("the batch was given up before it was answered; try again")


#: Nobody waits longer than this for an answer, seconds: as long as one stage may take.
PATIENCE_S = 5.0
#: How often those who waited so long are looked for, seconds.
SWEEP_S = 0.2
#: Answers given in one turn of the event loop. Each sets off the writing of a response, and most
#: clients send their next request at once: all in one turn would hold up the calls between
#: deployments for as long as all of that takes.
ANSWERS_A_TURN = 8


@dataclass(slots=True)
class _Waiting(Generic[T, R]):
    item: T
    answer: asyncio.Future[R]
    until: float


class Coalescer(Generic[T, R]):
    """Gathers items into batches for ``score_batch``, which gives one answer per item, in order.

    Up to ``slots`` batches are under way at once, a further one only while fewer than
    ``most_beside`` items are: two large ones would each be half of one, and cost as much.
    ``most_batch`` bounds a batch, ``most_waiting`` the queue. An exception
    of ``score_batch`` reaches every item of that batch and no other. An item whose caller has gone
    before its batch left is dropped; later its answer is. An item without an answer after
    ``patience_s`` gets :class:`Overloaded`, wherever it is: while a stage is replaced, those who
    wait behind a batch would otherwise wait for their own on top.
    """

    def __init__(
        self,
        score_batch: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        slots: int = 2,
        most_beside: int = 4,
        most_batch: int = 512,
        most_waiting: int = 8192,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._score_batch = score_batch
        self._slots = slots
        self._most_beside = most_beside
        self._most_batch = most_batch
        self._most_waiting = most_waiting
        self._patience_s = patience_s
        self._unanswered: deque[_Waiting[T, R]] = deque()
        self._sweeping = False
        self._queue: deque[_Waiting[T, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._active = 0
        self._under_way = 0

    @property
    def waiting(self) -> int:
        """Items that have not left yet."""
        return len(self._queue)

    async def submit(self, item: T) -> R:
        """The answer for one item; raises :class:`Overloaded` at once when too many wait."""
        if len(self._queue) >= self._most_waiting:
            raise Overloaded(len(self._queue))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        waiting = _Waiting(item, answer, loop.time() + self._patience_s)
        self._queue.append(waiting)
        self._unanswered.append(waiting)
        if not self._sweeping:
            self._sweep_later(loop)
        if self._active < self._slots and self._under_way < self._most_beside:
            self._start()
        return await answer

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = True
        loop.call_later(SWEEP_S, self._sweep, loop, context=contextvars.Context())

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse whoever has waited long enough; in order of their coming, so few are looked at."""
        unanswered, now = self._unanswered, loop.time()
        while unanswered and (unanswered[0].answer.done() or unanswered[0].until <= now):
            late = unanswered.popleft()
            if not late.answer.done():
                late.answer.set_exception(Overloaded(len(self._queue)))
        self._sweeping = False
        if unanswered:
            self._sweep_later(loop)

    def _start(self) -> None:
        self._active += 1
        # A context of its own: what a request carries in its context variables, such as its trace
        # and its cancellation, must not reach the events of others that this slot serves.
        task = asyncio.get_running_loop().create_task(self._drain(), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        """Score batches until the queue is empty, or left to another slot."""
        try:
            # One turn of the loop lets requests that arrived together join the batch.
            await asyncio.sleep(0)
            while batch := self._take():
                self._under_way += len(batch)
                try:
                    await self._answer(batch)
                finally:
                    self._under_way -= len(batch)
        finally:
            # No await since the queue was seen empty: whatever comes later finds this slot free.
            self._active -= 1

    def _take(self) -> list[_Waiting[T, R]]:
        """What is to leave now; nothing while another slot has enough, which takes it later."""
        batch: list[_Waiting[T, R]] = []
        if self._under_way >= self._most_beside:
            return batch
        while self._queue and len(batch) < self._most_batch:
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting[T, R]]) -> None:
        try:
            answers = await self._score_batch([waiting.item for waiting in batch])
            answered = list(zip(batch, answers, strict=True))
        except (Exception, asyncio.CancelledError) as error:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(_for_callers(error))
            if isinstance(error, asyncio.CancelledError) and _cancelled():
                raise
            return
        for number, (waiting, answer) in enumerate(answered, 1):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)
            if number % ANSWERS_A_TURN == 0:
                await asyncio.sleep(0)


def _for_callers(error: BaseException) -> BaseException:
    """A cancelled call is a failed batch; it does not cancel those who wait for it."""
    return Abandoned() if isinstance(error, asyncio.CancelledError) else error


def _cancelled() -> bool:
    """Whether somebody wants the current task itself to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
