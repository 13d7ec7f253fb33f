"""``Recorder``: remembers verdicts, and the routing in force. Off the scoring path."""

from __future__ import annotations

from collections import OrderedDict

from services.wire import Recorded


class Recorder:
    """Remembers verdicts: the last ``most_evidence`` with their features, more for repeats.

    In memory: a restarted Recorder has forgotten them.
    """

    def __init__(self, most_evidence: int = 100_000, most_first: int = 1_000_000) -> None:
        self._most_evidence = most_evidence
        self._most_first = most_first
        self._first: OrderedDict[str, bytes] = OrderedDict()
        self._evidence: OrderedDict[str, bytes] = OrderedDict()
        self._routing: list[bytes] = []

    async def record(self, recorded: Recorded) -> None:
        """Keep verdicts; the first one of an id stays."""
        if recorded.shadow:
            return
        width = recorded.columns * 4
        rows = zip(recorded.event_ids, recorded.verdicts, strict=True)
        for row, (event_id, verdict) in enumerate(rows):
            if event_id in self._first:
                continue
            self._first[event_id] = verdict
            self._evidence[event_id] = recorded.values[row * width : (row + 1) * width]
        while len(self._evidence) > self._most_evidence:
            self._evidence.popitem(last=False)
        while len(self._first) > self._most_first:
            self._first.popitem(last=False)

    async def first(self, event_ids: list[str]) -> dict[str, bytes]:
        """The encoded first verdicts of those ids that are known."""
        return {name: self._first[name] for name in event_ids if name in self._first}

    async def get(self, event_id: str) -> tuple[bytes, bytes] | None:
        """Verdict and feature row of one of the last ``most_evidence`` events, else None."""
        values = self._evidence.get(event_id)
        return None if values is None else (self._first[event_id], values)

    async def save_routing(self, document: bytes, by: str, note: str) -> int:
        """Put a routing on record; its revision is one more than the one before."""
        self._routing.append(document)
        return len(self._routing)

    async def routing(self) -> tuple[int, bytes] | None:
        """Revision and document of the routing last put on record."""
        return (len(self._routing), self._routing[-1]) if self._routing else None
