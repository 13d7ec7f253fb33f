"""Verdicts on their way from whoever scored them to the Recorder."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.records import kept_of
from services.storage.base import Kept
from services.wire import Recorded

LOG = logging.getLogger("ztad.recording")

#: The Recorder has this long to put a call on record, seconds.
RECORD_DEADLINE_S = 5.0
#: Whoever waits for the confirmation of verdicts is told after this long that there is none yet,
#: seconds: as long as a stage may take.
CONFIRM_DEADLINE_S = 5.0
#: Verdicts in one call to the Recorder, about 3 MB; a single batch may be larger.
MOST_IN_CALL = 5000
#: Longest pause between attempts while the Recorder takes nothing, seconds.
MOST_PAUSE_S = 2.0
#: A queue that was full is so until it has shrunk to this share of its bound: a door that opens
#: for every batch that leaves would be open and shut many times a second.
REOPEN_SHARE = 0.75


class Call(Protocol):
    """One remote method: ``handle.method`` of Serve, or a fake with the same ``remote``."""

    def remote(self, *args: Any) -> Awaitable[Any]: ...


class NotTaken(Exception):
    """The Recorder cannot store anything now."""


class NotKept(RuntimeError):
    """Verdicts cannot be promised to be kept; ``retry_after_s`` says when to come again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(NotKept):
    """So many verdicts wait for the store that no event is taken; nothing was scored."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting:,} verdicts wait for the store; no event is taken", 5)


class NotConfirmed(NotKept):
    """Scored, and not known to be on record in time: the same events may be sent again, and are
    answered with these verdicts."""

    def __init__(self, within_s: float) -> None:
        super().__init__(f"the store has not confirmed the verdict within {within_s:g} s", 1)


class Unrecordable(RuntimeError):
    """The Recorder refuses these verdicts for good: our mistake, which the log tells of."""

    def __init__(self) -> None:
        super().__init__("verdicts cannot be put on record")


class Receipt:
    """What becomes of a batch: awaiting it gives True once it is on record, False if it never
    will be."""

    __slots__ = ("_settled", "_taken")

    def __init__(self) -> None:
        self._settled = asyncio.Event()
        self._taken = False

    def settle(self, *, taken: bool) -> None:
        """Tell everybody who waits."""
        self._taken = taken
        self._settled.set()

    def __await__(self) -> Generator[Any, None, bool]:
        return self._outcome().__await__()

    async def _outcome(self) -> bool:
        await self._settled.wait()
        return self._taken


async def confirmed(receipts: Iterable[Receipt], within_s: float | None = None) -> None:
    """Wait until all batches are on record, by default for :data:`CONFIRM_DEADLINE_S`; raises
    :class:`NotConfirmed`, :class:`Unrecordable`."""
    within_s = CONFIRM_DEADLINE_S if within_s is None else within_s
    try:
        async with asyncio.timeout(within_s):
            for receipt in receipts:
                if not await receipt:
                    raise Unrecordable
    except TimeoutError:
        raise NotConfirmed(within_s) from None


@dataclass(slots=True, eq=False)
class _Entry:
    recorded: Recorded
    events: int
    size_bytes: int
    receipt: Receipt = field(default_factory=Receipt)


class RecordQueue:
    """Verdicts on their way to the Recorder: bounded, batched, and never in anybody's way.

    What was answered to somebody stays here until the Recorder has confirmed that it is on record.
    At ``most_events`` or ``most_bytes`` the queue is ``full`` and says so in the log, once; whoever
    scores then takes no more, so that it grows by what is under way and no further. What a shadow
    version said is given up instead, and counted in ``dropped``.
    """

    def __init__(
        self,
        record: Call,
        most_events: int = 200_000,
        most_bytes: int = 256 << 20,
        interval_s: float = 0.1,
    ) -> None:
        self._record = record
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._interval_s = interval_s
        self._sending: deque[_Entry] = deque()
        self._answered: deque[_Entry] = deque()
        self._shadow: deque[_Entry] = deque()
        self._events = 0
        self._bytes = 0
        self._hurry = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.dropped = 0

    def put(self, recorded: Recorded, *, hurry: bool = False) -> Receipt:
        """Queue a batch. With ``hurry`` it leaves at once instead of with what comes in the next
        tenth of a second: somebody waits for its receipt."""
        entry = _Entry(recorded, len(recorded.event_ids), recorded.size_bytes())
        if not entry.events:
            entry.receipt.settle(taken=True)
            return entry.receipt
        (self._shadow if recorded.shadow else self._answered).append(entry)
        self._count(entry, 1)
        self._keep_within_bound()
        if hurry:
            self._hurry.set()
        return entry.receipt

    @property
    def waiting(self) -> int:
        """Verdicts that are not confirmed yet."""
        return self._events

    def find(self, event_ids: list[str]) -> dict[str, bytes]:
        """Verdicts that are still here."""
        wanted = set(event_ids)
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        for entry in self._answers():
            recorded = entry.recorded
            for event_id, verdict in zip(recorded.event_ids, recorded.verdicts, strict=True):
                if event_id in wanted:
                    found.setdefault(event_id, verdict)
        return found

    def receipts(self, event_ids: Iterable[str]) -> list[Receipt]:
        """Those of the batches here that hold one of these events."""
        wanted = set(event_ids)
        if not wanted:
            return []
        held = (
            entry for entry in self._answers() if not wanted.isdisjoint(entry.recorded.event_ids)
        )
        return [entry.receipt for entry in held]

    def get(self, event_id: str) -> Kept | None:
        """What is known of an event that is still here, as the Recorder would tell it."""
        for entry in self._answers():
            if event_id in entry.recorded.event_ids:
                return kept_of(entry.recorded, event_id)
        return None

    async def run(self, transient: tuple[type[Exception], ...]) -> None:
        """Send what waits, a few times a second; what is not taken is sent again before the rest.

        ``transient`` are the errors of a Recorder that is not there.
        """
        again: tuple[type[Exception], ...] = (*transient, NotTaken)
        pause_s = self._interval_s
        while True:
            try:
                await self._until_due()
                while self._take():
                    await self._send(again)
                pause_s = self._interval_s
            except again:
                self._put_back()
                await asyncio.sleep(pause_s)
                pause_s = min(MOST_PAUSE_S, 2 * pause_s)

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more is to be scored."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until the queue is not full."""
        await self._room.wait()

    async def recorded(self) -> None:
        """Wait until everything that is here now is on record, or given up."""
        self._hurry.set()
        for entry in [*self._sending, *self._answered, *self._shadow]:
            await entry.receipt

    async def _until_due(self) -> None:
        """Let batches gather for a moment, unless somebody waits."""
        try:
            async with asyncio.timeout(self._interval_s):
                await self._hurry.wait()
        except TimeoutError:
            return
        finally:
            self._hurry.clear()

    def _take(self) -> bool:
        """Fill the next call; False when nothing waits."""
        events = 0
        for waiting in (self._answered, self._shadow):
            while waiting and (not events or events + waiting[0].events <= MOST_IN_CALL):
                entry = waiting.popleft()
                self._sending.append(entry)
                events += entry.events
        return events > 0

    async def _send(self, again: tuple[type[Exception], ...]) -> None:
        try:
            await self._call([entry.recorded for entry in self._sending])
        except again:
            raise
        except Exception:  # one batch that cannot be recorded must not keep the others
            LOG.warning("verdicts are sent again one batch at a time", exc_info=True)
            await self._send_singly(again)
        while self._sending:
            self._settle(self._sending.popleft(), taken=True)

    async def _send_singly(self, again: tuple[type[Exception], ...]) -> None:
        while self._sending:
            taken = True
            try:
                await self._call([self._sending[0].recorded])
            except again:
                raise
            except Exception:
                LOG.exception("verdicts cannot be recorded")
                taken = False
            self._settle(self._sending.popleft(), taken=taken)

    async def _call(self, batches: list[Recorded]) -> None:
        if not await called(self._record, batches, within_s=RECORD_DEADLINE_S):
            raise NotTaken

    def _settle(self, entry: _Entry, *, taken: bool) -> None:
        self._count(entry, -1)
        if not taken:
            self.dropped += entry.events
        entry.receipt.settle(taken=taken)
        self._tell_fullness()

    def _put_back(self) -> None:
        while self._sending:
            entry = self._sending.pop()
            (self._shadow if entry.recorded.shadow else self._answered).appendleft(entry)
        self._keep_within_bound()

    def _keep_within_bound(self) -> None:
        """Give up what a shadow said, the oldest first, while there is too much."""
        while self._shadow and self._share() > 1:
            self._settle(self._shadow.popleft(), taken=False)
        self._tell_fullness()

    def _share(self) -> float:
        """How much of what may wait does."""
        return max(self._events / self._most_events, self._bytes / self._most_bytes)

    def _tell_fullness(self) -> None:
        share = self._share()
        if not self.full and share >= 1:
            self._room.clear()
            LOG.error("%d verdicts wait for the store: new events are refused (503)", self._events)
        elif self.full and share <= REOPEN_SHARE:
            self._room.set()
            LOG.warning("%d verdicts wait for the store: events are taken again", self._events)

    def _count(self, entry: _Entry, sign: int) -> None:
        self._events += sign * entry.events
        self._bytes += sign * entry.size_bytes

    def _answers(self) -> Iterator[_Entry]:
        """Everything that waits and was somebody's answer, the oldest first."""
        yield from (entry for entry in self._sending if not entry.recorded.shadow)
        yield from self._answered


async def called(call: Call, *args: Any, within_s: float) -> Any:
    """The answer of a stage; TimeoutError when it takes longer.

    Not ``wait_for``: before Python 3.12 that could swallow a cancellation.
    """
    async with asyncio.timeout(within_s):
        return await call.remote(*args)
