"""The embedded ``UserHistory``: dictionaries in one process, bounded, with snapshot and restore."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from math import log2
from struct import Struct

import msgspec
import numpy as np
from mypy_extensions import mypyc_attr

from preprocessing import snapshots
from preprocessing.activity import record
from preprocessing.correcting import correct
from preprocessing.event import AuthEvent, pack_event
from preprocessing.feedback import Feedback
from preprocessing.history import CATEGORIES, DAY_S, FACTS, Evidence, Facts, HistorySettings
from preprocessing.learning import learn
from preprocessing.lookup import Lookup, service_share
from preprocessing.sighting import Sighting, sighting
from preprocessing.state import Address, Baseline, Session, User
from preprocessing.trail import beside, follow, mark, steps
from preprocessing.typical import Typical, evidence, share_of_hours, typical_event
from preprocessing.whereabouts import Place

_ROW = Struct(f"{len(FACTS)}d")
#: Who began to use a value is remembered for one to two of these periods, seconds.
LATELY_S = DAY_S
_DEVICE, _ADDRESS = CATEGORIES.index("device"), CATEGORIES.index("address")
_SESSION_FIELDS = tuple(CATEGORIES.index(name) for name in ("network", "agent", "device"))
_EVENTS_1H = FACTS.index("events_1h")
_LEARNED = FACTS.index("learned")


@mypyc_attr(allow_interpreted_subclasses=True)
class EmbeddedHistory:
    """History in this process; see :class:`preprocessing.history.UserHistory` for the promises.

    Of users, addresses and devices the last ``most_awake`` are objects, a user of 150 events about
    10 KB; all others rest in an eighth of that: docs/history.md has the bytes of each. All bounds
    hold after every call.
    """

    def __init__(self, settings: HistorySettings | None = None) -> None:
        self.settings = settings or HistorySettings()
        self._state = snapshots.empty(self.settings)
        self._lookup: Lookup | None = None

    @property
    def users(self) -> int:
        """How many users are known."""
        return len(self._state.users)

    @property
    def newest_s(self) -> float:
        """When the newest event of anybody happened, seconds since the epoch; 0 without any."""
        known = self._state.users
        everybody = chain(known.learned.values(), known.strangers.values())
        return max((user.newest_s for user in everybody), default=0.0)

    @property
    def conflicts(self) -> int:
        """How many repeated ids came with other content, since the start of this process."""
        return self._state.seen.conflicts

    def observe(
        self, events: Sequence[AuthEvent], *, now_s: float, join_trails: bool = True
    ) -> Facts:
        """As promised. Without ``join_trails`` the events join no trail until ``join``."""
        count = len(events)
        state, lookup = self._state, self._current_lookup()
        state.seen.forget(now_s)
        rows = bytearray(count * _ROW.size)
        late = np.zeros(count, np.bool_)
        duplicate = np.zeros(count, np.bool_)
        places: list[Place | None] = []
        users: list[User] = []
        marks = bytearray()
        marked: list[int] = []
        returned: list[int] = []
        packed: list[bytes] = []
        for index, event in enumerate(events):
            content = pack_event(event)
            packed.append(content)
            seen, user, address = self._met(event)
            places.append(user.place)
            users.append(user)
            marks += mark(event, seen.values)
            row = lookup.facts(seen, user, address)
            _ROW.pack_into(rows, index * _ROW.size, *row)
            if state.seen.repeats(event.event_id, content, now_s):
                duplicate[index] = True
                continue
            is_late = late[index] = lookup.is_late(seen.at_s, user)
            seen.rate = log2(1.0 + row[_EVENTS_1H])
            known = bool(state.ledger.marks) and state.ledger.covers(event, seen.at_s)
            if known:
                marked.append(index)
            if user.since and row[_LEARNED] < self.settings.learning_events:
                returned.append(index)
            self._record(seen, content, user, address, learnable=not (is_late or known))
        values = np.frombuffer(rows, np.float64).reshape(count, len(FACTS))
        learning = values[:, _LEARNED] < self.settings.learning_events
        joining = (~(late | duplicate)).tolist()
        going = follow if join_trails else beside
        trails = going(steps(values, marks).tobytes(), users, joining)
        self._settle()
        return Facts(values, late, learning, duplicate, places, trails, marked, returned, packed)

    def replay(
        self, events: Sequence[AuthEvent], trail_steps: bytes | None, *, now_s: float
    ) -> None:
        """What ``observe`` does, for events whose facts nobody asks for any more, in about half the
        time; the last step of the trail of each is given, n * WIDTH bytes, or joins it later."""
        state, lookup = self._state, self._current_lookup()
        state.seen.forget(now_s)
        users: list[User] = []
        joining: list[bool] = []
        for event in events:
            user = state.users.get(event.user_id) or User()
            users.append(user)
            joining.append(False)
            content = pack_event(event)
            if state.seen.repeats(event.event_id, content, now_s):
                continue
            seen, user, address = self._met(event)
            users[-1] = user
            seen.rate = log2(1.0 + lookup.events_1h(seen, user, address))
            joining[-1] = not lookup.is_late(seen.at_s, user)
            known = bool(state.ledger.marks) and state.ledger.covers(event, seen.at_s)
            self._record(seen, content, user, address, learnable=joining[-1] and not known)
        if trail_steps is not None:
            follow(trail_steps, users, joining)
        self._settle()

    def join(self, user_ids: Sequence[str], trail_steps: bytes) -> None:
        """Events that were observed join the trails of these users: WIDTH bytes each."""
        users = [self._state.users.get(user_id) or User() for user_id in user_ids]
        follow(trail_steps, users, [True] * len(users))
        self._settle()

    def evidence(self, event: AuthEvent, facts: Facts, row: int) -> Evidence:
        user = self._state.users.get(event.user_id)
        baseline = user.baseline if user else None
        session = self._state.sessions.get(event.session_id) if event.session_id else None
        row_facts = facts.values[row].tolist()
        trail = facts.trails[row].tobytes()
        return evidence(event, row_facts, facts.places[row], baseline, session, trail)

    def with_typical(self, evidence: Evidence) -> Evidence:
        user = self._state.users.get(evidence.event.user_id)
        if user is None or user.baseline is None:
            return evidence
        base = user.baseline
        event = typical_event(evidence, base.rhythm, base.places)
        address = self._state.addresses.get(event.source_ip) if event.source_ip else None
        # Of the usual address its regular users count but nobody's failures there: how many there
        # were at this very moment is known only of the event's own address.
        quiet = address.quiet() if address else None
        facts = self._current_lookup().facts(sighting(event), user, quiet)
        in_hours = share_of_hours(base.rhythm, evidence.hours)
        typical = Typical(event, facts, in_hours).encode()
        return msgspec.structs.replace(evidence, typical=typical)

    def learn(self, event_ids: Iterable[str]) -> int:
        learned = 0
        state = self._state
        for event_id in event_ids:
            seen = state.pending.pop(event_id, None)
            if seen is not None:
                learn(seen, state, self.settings)
                state.past.keep(seen)
                learned += 1
        if learned:
            self._changed()
        return learned

    def awaits(self, event_ids: Iterable[str]) -> int:
        """How many of these events were observed and can be learned."""
        return sum(event_id in self._state.pending for event_id in event_ids)

    def correct(self, feedback: Sequence[Feedback]) -> int:
        if correct(feedback, self._state, self.settings):
            self._changed()
        return self._state.ledger.serial

    def snapshot(self, *, seen: bool = True) -> bytes:
        return snapshots.encode(self._state, seen=seen)

    def restore(self, state: bytes) -> None:
        self._state = snapshots.decode(state, self.settings)
        self._lookup = None

    def close(self) -> None:
        """Nothing to let go of."""

    def _changed(self) -> None:
        """After something was learned, taken out or put back: bounds hold, and facts are new."""
        state, settings = self._state, self.settings
        while len(state.pending) > settings.most_pending:
            state.pending.popitem(last=False)
        self._lookup = None
        self._settle()

    def _settle(self) -> None:
        """At the end of every operation, when nobody holds an entry any more: who was not used
        lately rests."""
        state = self._state
        state.users.settle()
        state.addresses.settle()
        state.devices.settle()

    def _current_lookup(self) -> Lookup:
        if self._lookup is None:
            self._lookup = Lookup(self._state.tenant, self.settings)
        return self._lookup

    def _met(self, event: AuthEvent) -> tuple[Sighting, User, Address | None]:
        """An event with all that is known of those it names."""
        state = self._state
        seen = sighting(event)
        lately = state.tenant.lately
        if seen.at_s >= lately.since_s + LATELY_S:
            lately.turn(seen.at_s, LATELY_S)
        session_id = event.session_id
        source_ip, device_id = seen.values[_ADDRESS], seen.values[_DEVICE]
        if session_id:
            seen.session = state.sessions.get(session_id)
        address = state.addresses.get(source_ip) if source_ip else None
        user = state.users.get(seen.user_id) or User()
        if user.baseline is not None and seen.at_s - user.newest_s > self.settings.dormant_s:
            user.since = user.baseline.events
        if device_id:
            seen.owner = self._administrator(device_id, seen.user_id, user)
        return seen, user, address

    def _administrator(self, device_id: str, user_id: str, user: User) -> Baseline | None:
        """What is known of the person on whose device a service account is used."""
        device = self._state.devices.learned.get(device_id)
        if device is None or user_id in device.regulars or service_share(user.baseline) < 0.5:
            return None
        owner = self._state.users.learned.get(device.regulars[0])
        return owner.baseline if owner else None

    def _record(
        self,
        seen: Sighting,
        packed: bytes,
        user: User,
        address: Address | None,
        *,
        learnable: bool,
    ) -> None:
        """Activity, at once, and the event itself for a later ``learn``."""
        state, event = self._state, seen.event
        source_ip, session_id = seen.values[_ADDRESS], event.session_id
        if source_ip:
            address = address or Address()
            state.addresses.use(source_ip, address)
        if session_id:
            self._record_session(session_id, seen)
        record(seen, user, address, state.tenant, self.settings)
        state.users.use(seen.user_id, user)
        if learnable:
            seen.owner = seen.session = None  # facts are told: what is learned needs neither
            seen.packed = packed
            state.pending[event.event_id] = seen
            if len(state.pending) > self.settings.most_pending:
                state.pending.popitem(last=False)

    def _record_session(self, session_id: str, seen: Sighting) -> None:
        """Remember what a session began with."""
        sessions = self._state.sessions
        if seen.session is not None:
            sessions.move_to_end(session_id)
            return
        network, agent, device = (seen.values[field] for field in _SESSION_FIELDS)
        sessions[session_id] = Session(seen.user_id, network, agent, device)
        if len(sessions) > self.settings.most_sessions:
            sessions.popitem(last=False)
