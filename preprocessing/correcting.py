"""What feedback does to a history, and how it is taken back. See docs/feedback.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from preprocessing.feedback import (
    AFTER_S,
    BEFORE_S,
    LIKE_S,
    MOST_TAKEN,
    SAFE_SHARE,
    SAFE_WEIGHT,
    Effect,
    Feedback,
    Mark,
    unheard,
)
from preprocessing.habits import HABIT
from preprocessing.history import CATEGORIES, HistorySettings
from preprocessing.learning import learn
from preprocessing.memory import State
from preprocessing.sighting import Sighting, remembered, sighting, sighting_of
from preprocessing.state import User
from preprocessing.unlearning import unlearn
from preprocessing.unproven import doubt_again, prove
from preprocessing.whereabouts import Place

_DEVICE, _ADDRESS = CATEGORIES.index("device"), CATEGORIES.index("address")


def correct(feedback: Iterable[Feedback], state: State, settings: HistorySettings) -> int:
    """Do what was said since the last time, in order; returns how many things that were.

    Said again they change nothing: a serial is heard once.
    """
    new = unheard(feedback, state.ledger.serial)
    for one in new:
        _Correction(one, state, settings).apply()
        state.ledger.serial = one.serial
    return len(new)


class _Correction:
    """One thing that was said, on its way into the history."""

    def __init__(self, said: Feedback, state: State, settings: HistorySettings) -> None:
        self._said = said
        self._event = said.event
        self._state = state
        self._settings = settings

    def apply(self) -> None:
        """Take back what was said of the event before, then do what is said now."""
        state, event = self._state, self._event
        before = state.ledger.effects.pop(event.event_id, None)
        if before is not None:
            self._take_back(before)
        if self._said.disposition is None:
            return
        effect = Effect(self._said.serial, self._said.disposition, event.user_id)
        if self._said.disposition == "compromised":
            self._expel(effect)
        elif self._said.disposition == "safe":
            self._accept(effect)
        else:
            self._exclude(effect, lambda seen: seen.event.event_id == event.event_id)
        state.ledger.keep(event.event_id, effect)

    def _expel(self, effect: Effect) -> None:
        """Nothing the attacker did is learned, and what was is taken out."""
        state, event = self._state, self._event
        mark = self._mark()
        self._exclude(effect, lambda seen: mark.covers(seen.event, seen.at_s))
        state.ledger.mark(event.user_id, mark)
        user = state.users.get(event.user_id)
        if user is not None and user.place is not None and self._is_theirs(user.place, mark):
            user.place = None

    def _is_theirs(self, place: Place, mark: Mark) -> bool:
        """Whether it was the attacker who was last seen there."""
        own = self._event
        there = msgspec.structs.replace(
            own, event_id="", session_id=None, source_ip=place.source_ip, device_id=place.device_id
        )
        at_event = place.at_s == own.timestamp.timestamp()
        return at_event or mark.covers(there, place.at_s)

    def _mark(self) -> Mark:
        """What the attacker used: device, address and session, without those that were the user's
        own before, and without an address that many share."""
        event, at_s = self._event, self._event.timestamp.timestamp()
        since_s = at_s - BEFORE_S
        address = self._state.addresses.get(event.source_ip) if event.source_ip else None
        shared = address is not None and len(address.regulars) >= self._settings.egress_users
        own_address = shared or self._was_own(_ADDRESS, event.source_ip, since_s)
        return Mark(
            event_id=event.event_id,
            since_s=since_s,
            until_s=at_s + AFTER_S,
            device=None if self._was_own(_DEVICE, event.device_id, since_s) else event.device_id,
            address=None if own_address else event.source_ip,
            session=event.session_id,
        )

    def _was_own(self, field: int, value: str | None, since_s: float) -> bool:
        """Whether a value was a habit of the user's before the attack can have begun."""
        user = self._state.users.get(self._event.user_id)
        if value is None or user is None or user.baseline is None:
            return False
        lately = sum(
            seen.values[field] == value
            for seen in self._state.past.of(self._event.user_id)
            if seen.at_s >= since_s and not seen.failed
        )
        return user.baseline.habits.count(field, value) - lately >= HABIT

    def _exclude(self, effect: Effect, which: Callable[[Sighting], bool]) -> None:
        """Hold back what waits to be learned, and take out what was."""
        state = self._state
        for seen in [one for one in self._mine(state.pending.values()) if which(one)]:
            del state.pending[seen.event.event_id]
            effect.held.append(remembered(seen))
        for seen in [one for one in state.past.of(self._event.user_id) if which(one)]:
            state.past.drop(seen.event.event_id)
            unlearn(seen, state)
            effect.taken.append(remembered(seen))
        del effect.held[:-MOST_TAKEN], effect.taken[:-MOST_TAKEN]

    def _accept(self, effect: Effect) -> None:
        """Learn the event, with weight, and what was flagged like it, once each."""
        state, event = self._state, self._event
        if (seen := state.past.get(event.event_id)) is not None:
            self._learn(seen, self._weight() - 1, effect)
        else:
            pending = state.pending.pop(event.event_id, None)
            if pending is None and not self._said.whole:
                return
            self._learn(pending or sighting(event), self._weight(), effect)
        for seen in [one for one in self._mine(state.pending.values()) if self._is_like(one)]:
            del state.pending[seen.event.event_id]
            self._learn(seen, 1, effect)

    def _weight(self) -> int:
        """How often a safe event is learned: noticeably, however much is known of the user."""
        user = self._state.users.get(self._event.user_id)
        known = user.baseline.events if user is not None and user.baseline is not None else 0.0
        return max(SAFE_WEIGHT, round(SAFE_SHARE * min(known, self._settings.user_limit)))

    def _is_like(self, seen: Sighting) -> bool:
        mine, other = self._event, seen.event
        pairs = (
            (mine.device_id, other.device_id),
            (mine.source_ip, other.source_ip),
            (mine.session_id, other.session_id),
        )
        near = abs(seen.at_s - mine.timestamp.timestamp()) <= LIKE_S
        return near and any(a is not None and a == b for a, b in pairs)

    def _learn(self, seen: Sighting, times: int, effect: Effect) -> None:
        state, user_id = self._state, seen.user_id
        user = state.users.get(user_id)
        if user is None:
            state.users.use(user_id, User(newest_s=seen.at_s))
        else:
            effect.proven |= prove(seen, user)
        for _ in range(times):
            learn(seen, state, self._settings)
        effect.added.append((remembered(seen), times))

    def _take_back(self, effect: Effect) -> None:
        state = self._state
        state.ledger.unmark(effect.user_id, self._event.event_id)
        for item, times in effect.added:
            seen = sighting_of(item)
            for _ in range(times):
                unlearn(seen, state)
            if (user := state.users.get(effect.user_id)) is not None:
                doubt_again(effect.proven, user)
            if seen.event.event_id not in state.past:
                state.pending[seen.event.event_id] = seen
        for item in effect.taken:
            seen = sighting_of(item)
            learn(seen, state, self._settings)
            state.past.keep(seen)
        for item in effect.held:
            state.pending[item.event.event_id] = sighting_of(item)

    def _mine(self, seen: Iterable[Sighting]) -> Iterable[Sighting]:
        return (one for one in seen if one.event.user_id == self._event.user_id)
