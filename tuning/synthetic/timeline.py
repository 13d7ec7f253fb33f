"""Ordinary events by user and time: what an intruder's events are set against."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping

from tuning.synthetic.draft import Draft


class Timeline:
    """The ordinary events of each user, in order of time."""

    def __init__(self, drafts: Iterable[Draft]) -> None:
        by_user: dict[str, list[Draft]] = {}
        for draft in sorted(drafts, key=lambda draft: draft.at):
            by_user.setdefault(draft.user_id, []).append(draft)
        self._by_user: Mapping[str, list[Draft]] = by_user

    def count(self, since: float, until: float) -> int:
        """How many events there are in [since, until)."""
        return sum(since <= d.at < until for events in self._by_user.values() for d in events)

    def of(self, user_id: str) -> list[Draft]:
        """All ordinary events of the user."""
        return self._by_user.get(user_id, [])

    def interactive(self, user_id: str, since: float, until: float) -> int:
        """How many interactive events the user has in [since, until)."""
        return sum(
            since <= draft.at < until and draft.fields["auth_kind"] == "interactive"
            for draft in self.of(user_id)
        )

    def service_accounts(self) -> list[str]:
        """The accounts that mostly act by themselves, in the order of their first event."""
        return [
            user_id
            for user_id, events in self._by_user.items()
            if 2 * sum(draft.fields["auth_kind"] == "service" for draft in events) > len(events)
        ]

    def last_before(self, user_id: str, at: float) -> Draft | None:
        """The user's newest event not after `at`."""
        events = self._by_user.get(user_id, [])
        index = bisect_right(events, at, key=lambda draft: draft.at)
        return events[index - 1] if index else None

    def pick(self, rng: random.Random, user_id: str, since: float, until: float) -> Draft | None:
        """A random interactive event of the user in [since, until), or None after eight tries."""
        events = self._by_user.get(user_id, [])
        first = bisect_left(events, since, key=lambda draft: draft.at)
        end = bisect_left(events, until, key=lambda draft: draft.at)
        for _ in range(8):
            if first >= end:
                return None
            draft = events[rng.randrange(first, end)]
            if draft.fields["auth_kind"] == "interactive":
                return draft
        return None
