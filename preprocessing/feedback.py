"""What an analyst says of an event, and what a history keeps of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from preprocessing.accumulated import NO_SUMS, Four
from preprocessing.event import AuthEvent
from preprocessing.whereabouts import Unproven

DAY_S = 86400.0

Disposition = Literal["compromised", "safe", "benign_true"]
"""It was an attack; it was ordinary, and more of it is; it was odd, is known, and stays odd."""

#: An attack may have begun so long before the event that was found, seconds.
BEFORE_S = 7 * DAY_S
#: So long after it an attacker's device, address and session stay suspicious, seconds.
AFTER_S = 30 * DAY_S
#: Flagged events this near to a safe one, by the same device, address or session, are like it.
LIKE_S = DAY_S
#: How often a safe event is learned at least: twice is a habit (``baseline.HABIT``).
SAFE_WEIGHT = 6
#: And as a share of the user's learned events: rarities compare with what is usual for a value.
SAFE_SHARE = 0.1
#: Effects that can be taken back; the oldest stay as they are.
MOST_EFFECTS = 10_000
#: Events taken out by one feedback that can be put back.
MOST_TAKEN = 500


class Feedback(msgspec.Struct, array_like=True, frozen=True):
    """One thing an analyst said. ``serial`` grows from one to the next; microseconds since the
    epoch or more. Without a ``disposition`` what was said of the event before is taken back.

    ``whole`` tells whether ``event`` is the event as it came, or only what the record still has of
    it: who, when, from which address.
    """

    serial: int
    disposition: Disposition | None
    event: AuthEvent
    whole: bool = True


class Remembered(msgspec.Struct, array_like=True, gc=False):
    """An event that was observed, with what was worked out then: ``state.Sighting`` as bytes."""

    event: AuthEvent
    rate: float = 0.0
    new: float = 0.0
    size: float = 0.0
    sums: Four = NO_SUMS
    spray: float = -1.0


class Mark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An attacker in a user's name: what the attacker used, from when until when, seconds."""

    event_id: str
    since_s: float
    until_s: float
    device: str | None = None
    address: str | None = None
    session: str | None = None

    def covers(self, event: AuthEvent, at_s: float) -> bool:
        """Whether an event of this user is the attacker's too."""
        if event.event_id == self.event_id:
            return True
        return self.since_s <= at_s <= self.until_s and (
            (self.device is not None and event.device_id == self.device)
            or (self.address is not None and event.source_ip == self.address)
            or (self.session is not None and event.session_id == self.session)
        )


class Effect(msgspec.Struct, array_like=True):
    """What feedback did to a history: events that were ``taken`` out of the baseline, ``held`` back
    from it and ``added``, each so many times; and devices that are ``proven`` by it."""

    serial: int
    disposition: Disposition
    user_id: str
    taken: list[Remembered] = []
    held: list[Remembered] = []
    added: list[tuple[Remembered, int]] = []
    proven: dict[str, Unproven] = {}


class Ledger(msgspec.Struct, array_like=True):
    """All feedback that a history has taken in, up to ``serial``: ``effects`` by event id,
    ``marks`` by user."""

    serial: int = 0
    effects: dict[str, Effect] = {}
    marks: dict[str, list[Mark]] = {}

    def covers(self, event: AuthEvent, at_s: float) -> bool:
        """Whether an event is that of an attacker an analyst has found."""
        return any(mark.covers(event, at_s) for mark in self.marks.get(event.user_id, ()))

    def mark(self, user_id: str, mark: Mark) -> None:
        """Remember an attacker; those whose time is over by then are forgotten."""
        mine = [one for one in self.marks.get(user_id, ()) if one.until_s >= mark.since_s]
        self.marks[user_id] = [*mine, mark]

    def unmark(self, user_id: str, event_id: str) -> None:
        """Forget the attacker found by one event."""
        mine = [mark for mark in self.marks.get(user_id, ()) if mark.event_id != event_id]
        if mine:
            self.marks[user_id] = mine
        else:
            self.marks.pop(user_id, None)

    def keep(self, event_id: str, effect: Effect) -> None:
        """Remember an effect, and forget the oldest beyond MOST_EFFECTS."""
        self.effects[event_id] = effect
        while len(self.effects) > MOST_EFFECTS:
            oldest = next(iter(self.effects))
            self.unmark(self.effects.pop(oldest).user_id, oldest)


def unheard(feedback: Iterable[Feedback], since: int) -> list[Feedback]:
    """What was said after ``since``, in order."""
    return sorted((one for one in feedback if one.serial > since), key=lambda one: one.serial)
