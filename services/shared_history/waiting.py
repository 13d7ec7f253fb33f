"""Operations on their way to the log, and those that got there lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from services.shared_history.operations import Sent


class Waiting:
    """Operations that wait for the log, oldest first; beyond ``most_bytes`` the oldest are given
    up, and ``given_up`` counts them."""

    def __init__(self, most_bytes: int) -> None:
        self.given_up = 0
        self.bytes = 0
        self._most_bytes = most_bytes
        self._queue: deque[Sent] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def numbers(self) -> list[str]:
        """The number of each, oldest first."""
        return [one.number for one in self._queue]

    def add(self, operations: Iterable[Sent]) -> None:
        for one in operations:
            self._queue.append(one)
            self.bytes += len(one.payload)
        while self.bytes > self._most_bytes and len(self._queue) > 1:
            self.bytes -= len(self._queue.popleft().payload)
            self.given_up += 1

    def put_first(self, operations: Sequence[Sent]) -> None:
        """These are to be sent before all others."""
        rest = list(self._queue)
        self._queue.clear()
        self.bytes = 0
        self.add([*operations, *rest])

    def first(self, most_bytes: int) -> list[Sent]:
        """The oldest, at least one if there is any."""
        found: list[Sent] = []
        size = 0
        for one in self._queue:
            size += len(one.payload)
            if found and size > most_bytes:
                break
            found.append(one)
        return found

    def drop(self, numbers: Iterable[str]) -> None:
        """These are in the log."""
        known = frozenset(numbers)
        self._queue = deque(one for one in self._queue if one.number not in known)
        self.bytes = sum(len(one.payload) for one in self._queue)


class Recent:
    """What was appended in the last ``keep_s`` seconds, at most ``most_bytes`` of it."""

    def __init__(self, keep_s: float, most_bytes: int) -> None:
        self._keep_s = keep_s
        self._most_bytes = most_bytes
        self._bytes = 0
        self._queue: deque[tuple[float, Sent]] = deque()

    def __iter__(self) -> Iterator[Sent]:
        return (one for _, one in self._queue)

    def add(self, operations: Iterable[Sent]) -> None:
        now_s, queue = time.monotonic(), self._queue
        for one in operations:
            queue.append((now_s, one))
            self._bytes += len(one.payload)
        while queue and (queue[0][0] < now_s - self._keep_s or self._bytes > self._most_bytes):
            self._bytes -= len(queue.popleft()[1].payload)
