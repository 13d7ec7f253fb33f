"""Features of the last events, for those of which only the verdict is on record."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from services.wire import Recorded

#: 13 MB of features, and their event ids.
MOST_EVENTS = 100_000


@dataclass(frozen=True, slots=True)
class _Batch:
    event_ids: list[str]
    width: int
    values: bytes


class Recent:
    """The features of the last ``most`` events; older batches are forgotten whole."""

    def __init__(self, most: int = MOST_EVENTS) -> None:
        self._most = most
        self._events = 0
        self._batches: deque[_Batch] = deque()

    def put(self, recorded: Recorded) -> None:
        """Remember a batch."""
        self._batches.append(_Batch(recorded.event_ids, 4 * recorded.columns, recorded.values))
        self._events += len(recorded.event_ids)
        while self._events > self._most and len(self._batches) > 1:
            self._events -= len(self._batches.popleft().event_ids)

    def values(self, event_id: str) -> bytes | None:
        """float32 as bytes; looks through all batches, for somebody waits for one event only."""
        for batch in self._batches:
            if event_id in batch.event_ids:
                row = batch.event_ids.index(event_id)
                return batch.values[row * batch.width : (row + 1) * batch.width]
        return None
