"""Which event ids were seen lately: a repeated id must change nothing."""

from __future__ import annotations

import zlib
from collections import deque


class SeenIds:
    """The ids of the last ``keep_s`` seconds, at most ``most`` of them, each with a stamp.

    A stamp is the second of arrival and an Adler-32 sum of the event's content (a third cheaper
    than CRC-32), the same in every process. ``conflicts`` counts repeats that came with other
    content. An id of 36 characters costs about 170 bytes.
    """

    def __init__(self, most: int, keep_s: float) -> None:
        self.stamps: dict[str, int] = {}
        self.conflicts = 0
        self._most = most
        self._keep_s = keep_s
        # Finding the oldest key of a dictionary walks over every key deleted before it.
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        return len(self.stamps)

    def repeats(self, event_id: str, content: bytes, now_s: float) -> bool:
        """Whether this id is known; a new one is known from now on. ``content``: of the whole
        event, from :func:`preprocessing.event.pack_event`."""
        total = zlib.adler32(content)
        known = self.stamps.get(event_id)
        if known is not None:
            self.conflicts += known & 0xFFFFFFFF != total
            return True
        self.stamps[event_id] = int(now_s) << 32 | total
        self._order.append(event_id)
        if len(self._order) > self._most:
            del self.stamps[self._order.popleft()]
        return False

    def forget(self, now_s: float) -> None:
        """Drop ids that arrived more than ``keep_s`` before ``now_s``."""
        oldest = int(now_s - self._keep_s)
        order, stamps = self._order, self.stamps
        while order and stamps[order[0]] >> 32 < oldest:
            del stamps[order.popleft()]

    def fill(self, stamps: dict[str, int]) -> None:
        """Take over the newest ids of a snapshot, as far as they fit."""
        for event_id in list(stamps)[-self._most :]:
            self.stamps[event_id] = stamps[event_id]
            self._order.append(event_id)
