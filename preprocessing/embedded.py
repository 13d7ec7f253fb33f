"""The embedded ``UserHistory``: dictionaries in one process, bounded, with snapshot and restore."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from math import log2

import msgspec
import numpy as np

from preprocessing.baseline import Categories, Decaying, Place, Places, Rhythm, Scale
from preprocessing.event import AuthEvent
from preprocessing.geo import FASTEST_KMH, distance_km, speed_kmh
from preprocessing.history import (
    CATEGORIES,
    DAY_S,
    FACTS,
    HOUR_S,
    SHORT_S,
    TENANT_CATEGORIES,
    Evidence,
    Facts,
    HistoryError,
    HistorySettings,
    Usual,
)
from preprocessing.values import values_of

SNAPSHOT_FORMAT = 1
#: Spread below which amounts are "the same", in log2 bytes: a factor of 1.4.
LEAST_BYTES_SPREAD = 0.5
_KINDS = len(CATEGORIES)


class Baseline(msgspec.Struct, array_like=True):
    """What was learned of a user or of the tenant."""

    first_s: float = 0.0
    events: float = 0.0
    failures: float = 0.0
    rhythm: Rhythm = msgspec.field(default_factory=Rhythm)
    rate: Scale = msgspec.field(default_factory=Scale)
    transfer: Scale = msgspec.field(default_factory=Scale)
    other_bytes: Scale = msgspec.field(default_factory=Scale)
    places: Places = msgspec.field(default_factory=Places)
    fields: list[Categories] = msgspec.field(
        default_factory=lambda: [Categories() for _ in CATEGORIES]
    )


class User(msgspec.Struct, array_like=True):
    """One user: activity, recorded at once, and a baseline once something was learned."""

    newest_s: float = 0.0
    place: Place | None = None
    events: Decaying = msgspec.field(default_factory=Decaying)
    failures: Decaying = msgspec.field(default_factory=Decaying)
    failures_day: Decaying = msgspec.field(default_factory=Decaying)
    denials: Decaying = msgspec.field(default_factory=Decaying)
    baseline: Baseline | None = None


class Address(msgspec.Struct, array_like=True):
    """One source address: who fails from it now, who regularly works from it."""

    newest_s: float = 0.0
    failures: Decaying = msgspec.field(default_factory=Decaying)
    failures_day: Decaying = msgspec.field(default_factory=Decaying)
    failing_users: Decaying = msgspec.field(default_factory=Decaying)
    failed: dict[str, float] = {}
    regulars: set[str] = set()


class Tenant(msgspec.Struct, array_like=True):
    """The organisation: its own baseline, and how often anything is new to a user in it."""

    baseline: Baseline = msgspec.field(default_factory=Baseline)
    first_rates: list[Categories] = msgspec.field(
        default_factory=lambda: [Categories() for _ in CATEGORIES]
    )
    users: float = 0.0


class Pending(msgspec.Struct, array_like=True):
    """An observed event that may be learned, with its rate as of then."""

    event: AuthEvent
    rate: float


class State(msgspec.Struct, array_like=True):
    """All of a history."""

    format: int = SNAPSHOT_FORMAT
    users: dict[str, User] = {}
    addresses: dict[str, Address] = {}
    tenant: Tenant = msgspec.field(default_factory=Tenant)
    seen: dict[str, int] = {}
    pending: dict[str, Pending] = {}


_NOTHING = Baseline()
_STATE = msgspec.msgpack.Decoder(State)
#: Most addresses' failing users remembered by name; beyond it a user may count twice.
_MOST_FAILED = 256


class EmbeddedHistory:
    """History in this process; see :class:`preprocessing.history.UserHistory` for the promises.

    A user costs about 3 KB once learned, 0.6 KB before. ``conflicts`` counts repeated ids that
    came with other content.
    """

    def __init__(self, settings: HistorySettings | None = None) -> None:
        self.settings = settings or HistorySettings()
        self.conflicts = 0
        self._state = State()

    @property
    def users(self) -> int:
        """How many users are known."""
        return len(self._state.users)

    def observe(self, events: Sequence[AuthEvent], *, now_s: float) -> Facts:
        self._forget_ids(now_s)
        count = len(events)
        rows: list[float] = []
        late = np.zeros(count, np.bool_)
        duplicate = np.zeros(count, np.bool_)
        places: list[Place | None] = []
        for index, event in enumerate(events):
            user = self._state.users.get(event.user_id) or User()
            places.append(user.place)
            is_late = event.timestamp.timestamp() < user.newest_s - self.settings.late_s
            rate = self._look(event, user, is_late, rows)
            if self._is_repeated(event, now_s):
                duplicate[index] = True
                continue
            late[index] = is_late
            self._record(event, user, is_late, rate)
        self._bound()
        values = np.array(rows, np.float64).reshape(count, len(FACTS))
        learning = values[:, FACTS.index("learned")] < self.settings.learning_events
        return Facts(values, late, learning, duplicate, places)

    def evidence(self, event: AuthEvent, facts: Facts, row: int) -> Evidence:
        user = self._state.users.get(event.user_id)
        baseline = (user and user.baseline) or _NOTHING
        scale = baseline.transfer if event.action == "transfer" else baseline.other_bytes
        hours = baseline.rhythm.hours
        usual_level = baseline.rhythm.weight / len(hours) / 2
        return Evidence(
            event=event,
            facts=tuple(facts.values[row].tolist()),
            place=facts.places[row],
            events=int(baseline.events),
            days=max(0.0, event.timestamp.timestamp() - baseline.first_s) / DAY_S
            if baseline.events
            else 0.0,
            usual=_usual(baseline, values_of(event)),
            hours=tuple(h for h, weight in enumerate(hours) if weight > usual_level > 0),
            usual_bytes=2.0**scale.mean - 1.0 if scale.weight else 0.0,
        )

    def learn(self, event_ids: Iterable[str]) -> int:
        learned = 0
        for event_id in event_ids:
            pending = self._state.pending.pop(event_id, None)
            if pending is not None:
                self._learn_one(pending.event, pending.rate)
                learned += 1
        return learned

    def snapshot(self, *, seen: bool = True) -> bytes:
        state = self._state
        if not seen:
            state = State(users=state.users, addresses=state.addresses, tenant=state.tenant)
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        try:
            restored = _STATE.decode(state)
        except (msgspec.DecodeError, RecursionError) as error:
            raise HistoryError(
                f"not a history snapshot ({error}); train the bundle again"
            ) from None
        if restored.format != SNAPSHOT_FORMAT:
            message = f"history snapshot format {restored.format}, expected {SNAPSHOT_FORMAT}"
            raise HistoryError(f"{message}; use the ztad version that wrote it")
        self._state = restored

    def _look(self, event: AuthEvent, user: User, is_late: bool, rows: list[float]) -> float:
        """Append the facts of one event to ``rows``; returns the user's log2 event rate."""
        at_s = event.timestamp.timestamp()
        base = user.baseline or _NOTHING
        tenant = self._state.tenant
        address = self._state.addresses.get(event.source_ip or "")
        background = event.auth_kind == "token"
        events_1h = user.events.read(at_s, HOUR_S)
        rows.append(0.0 if background else base.rhythm.hour_bits(at_s, tenant.baseline.rhythm))
        rows.append(0.0 if background else base.rhythm.day_bits(at_s, tenant.baseline.rhythm))
        rows.append(max(0.0, at_s - user.newest_s) if user.newest_s else 0.0)
        rows.append(events_1h)
        rows.append(_shrunk(base.rate, tenant.baseline.rate))
        self._look_places(event, user, base, address, is_late, at_s, rows)
        _look_bytes(event, base, tenant.baseline, rows)
        self._look_values(event, base, rows)
        failed = event.outcome == "failure"
        rows.append(user.failures.read(at_s, SHORT_S))
        rows.append(user.failures_day.read(at_s, DAY_S))
        if address is None:
            rows.extend((0.0, 0.0, 0.0, 0.0))
        else:
            rows.append(address.failures.read(at_s, SHORT_S))
            rows.append(address.failures_day.read(at_s, DAY_S))
            rows.append(address.failing_users.read(at_s, HOUR_S))
            rows.append(float(len(address.regulars)))
        rows.append(user.denials.read(at_s, SHORT_S))
        rows.append(float(event.failed_attempts or 0))
        rows.append(_failure_bits(base, tenant.baseline) if failed else 0.0)
        rows.append(0.0 if base.events else _new_user_bits(tenant))
        rows.append(0.0 if failed else 1.0)
        rows.append(base.events)
        return log2(1.0 + events_1h)

    def _look_places(
        self,
        event: AuthEvent,
        user: User,
        base: Baseline,
        address: Address | None,
        is_late: bool,
        at_s: float,
        rows: list[float],
    ) -> None:
        """Travel since the last good place (successes only) and distance from usual places."""
        latitude, longitude, place = event.latitude, event.longitude, user.place
        if latitude is None or longitude is None:
            rows.extend((0.0, 0.0, 0.0))
            return
        away_km = base.places.distance_km(latitude, longitude)
        # Coming back to a usual place is not travel worth an alert: leaving it was.
        if (
            place is None
            or is_late
            or event.outcome == "failure"
            or event.auth_kind == "token"
            or self._is_egress(address)
            or (base.places.known and away_km == 0.0)
        ):
            rows.extend((0.0, 0.0, away_km))
        else:
            rows.append(distance_km(place.latitude, place.longitude, latitude, longitude))
            rows.append(abs(at_s - place.at_s))
            rows.append(away_km)

    def _look_values(self, event: AuthEvent, base: Baseline, rows: list[float]) -> None:
        """Rarity of every category for the user, and of some for the tenant, in bits."""
        tenant = self._state.tenant
        values = values_of(event)
        rates = tenant.first_rates
        for index in range(_KINDS):
            value = values[index]
            if value is None:
                rows.append(0.0)
            else:
                rows.append(base.fields[index].bits(value, rates[index].first_rate()))
        fields = tenant.baseline.fields
        for index in range(len(TENANT_CATEGORIES)):
            value = values[index]
            rows.append(0.0 if value is None else fields[index].bits(value, 0.25))

    def _is_egress(self, address: Address | None) -> bool:
        return address is not None and len(address.regulars) >= self.settings.egress_users

    def _is_repeated(self, event: AuthEvent, now_s: float) -> bool:
        """True for a known id; remembers a new one with a fingerprint of its content."""
        content = f"{event.user_id}|{event.timestamp.timestamp()}|{event.outcome}"
        stamp = int(now_s) << 32 | zlib.crc32(content.encode())
        known = self._state.seen.setdefault(event.event_id, stamp)
        if known is stamp:
            return False
        self.conflicts += (known ^ stamp) & 0xFFFFFFFF != 0
        return True

    def _record(self, event: AuthEvent, user: User, is_late: bool, rate: float) -> None:
        """Activity, at once: counters, last place, and the event itself for a later ``learn``."""
        state = self._state
        at_s = event.timestamp.timestamp()
        if not user.newest_s:
            state.users[event.user_id] = user
        user.newest_s = max(user.newest_s, at_s)
        user.events.add(1.0, at_s, HOUR_S)
        address = self._address(event, at_s)
        if event.outcome == "failure":
            _record_failure(event, user, address, at_s)
        else:
            self._record_place(event, user, address, at_s)
        if not is_late:
            state.pending[event.event_id] = Pending(event, rate)

    def _record_place(
        self, event: AuthEvent, user: User, address: Address | None, at_s: float
    ) -> None:
        """Remember where the user really was: not an office exit, not a background refresh, and
        not where nobody could be yet: the impostor must not become the user's last place."""
        latitude, longitude = event.latitude, event.longitude
        if latitude is None or longitude is None:
            return
        if event.auth_kind == "token" or self._is_egress(address):
            return
        if user.place is not None and not _reachable(user.place, latitude, longitude, at_s):
            return
        user.place = Place(
            latitude,
            longitude,
            at_s,
            event.city,
            event.country,
            event.source_ip,
            event.device_id,
        )

    def _address(self, event: AuthEvent, at_s: float) -> Address | None:
        if event.source_ip is None:
            return None
        address = self._state.addresses.get(event.source_ip)
        if address is None:
            address = self._state.addresses[event.source_ip] = Address()
        address.newest_s = max(address.newest_s, at_s)
        return address

    def _learn_one(self, event: AuthEvent, rate: float) -> None:
        """Add one event to its user's and the tenant's baseline; failures teach only their rate."""
        state, settings = self._state, self.settings
        user = state.users.get(event.user_id)
        tenant = state.tenant.baseline
        at_s = event.timestamp.timestamp()
        failed = event.outcome == "failure"
        tenant.events += 1.0
        tenant.failures += failed
        if user is None or (failed and user.baseline is None):
            return
        if user.baseline is None:
            user.baseline = Baseline(first_s=at_s)
            state.tenant.users += 1.0
        base = user.baseline
        base.events += 1.0
        base.failures += failed
        if failed:
            return
        _learn_amounts(event, base, rate, at_s, settings.user_limit)
        _learn_amounts(event, tenant, rate, at_s, settings.tenant_limit)
        self._learn_values(event, base)
        if event.latitude is not None and event.longitude is not None:
            base.places.learn(event.latitude, event.longitude, settings.user_places)
        address = state.addresses.get(event.source_ip or "")
        if address is not None and len(address.regulars) < settings.egress_users:
            address.regulars.add(event.user_id)

    def _learn_values(self, event: AuthEvent, base: Baseline) -> None:
        settings, tenant = self.settings, self._state.tenant
        for index, value in enumerate(values_of(event)):
            if value is None:
                continue
            known = base.fields[index]
            newcomer = known.weight == 0.0
            first = known.learn(value, settings.user_limit, settings.user_values)
            if not newcomer:
                rate = tenant.first_rates[index]
                rate.weight += 1.0
                rate.firsts += first
            if index < len(TENANT_CATEGORIES):
                field = tenant.baseline.fields[index]
                field.learn(value, settings.tenant_limit, settings.tenant_values)

    def _forget_ids(self, now_s: float) -> None:
        seen, oldest = self._state.seen, int(now_s - self.settings.seen_s)
        while seen:
            first = next(iter(seen))
            if len(seen) <= self.settings.most_seen and seen[first] >> 32 >= oldest:
                return
            del seen[first]

    def _bound(self) -> None:
        """Drop what is over the bounds: the oldest pending, the longest silent users, addresses."""
        state, settings = self._state, self.settings
        while len(state.pending) > settings.most_pending:
            del state.pending[next(iter(state.pending))]
        if len(state.users) > settings.most_users:
            # Names that were only ever guessed go before anybody with a baseline.
            for name in nsmallest(
                max(1, settings.most_users // 20),
                state.users,
                key=lambda n: (state.users[n].baseline is not None, state.users[n].newest_s),
            ):
                del state.users[name]
        if len(state.addresses) > settings.most_addresses:
            for ip in nsmallest(
                max(1, settings.most_addresses // 20),
                state.addresses,
                key=lambda a: state.addresses[a].newest_s,
            ):
                del state.addresses[ip]


def _reachable(place: Place, latitude: float, longitude: float, at_s: float) -> bool:
    """Whether somebody at ``place`` can be at these degrees by ``at_s`` in an ordinary flight."""
    if at_s < place.at_s:
        return False
    if latitude == place.latitude and longitude == place.longitude:
        return True
    away = distance_km(place.latitude, place.longitude, latitude, longitude)
    return speed_kmh(away, at_s - place.at_s) <= FASTEST_KMH


def _look_bytes(event: AuthEvent, base: Baseline, tenant: Baseline, rows: list[float]) -> None:
    amount = event.bytes_transferred
    if amount is None:
        rows.extend((0.0, 0.0, 0.0))
        return
    bits = log2(1.0 + amount)
    transfer = event.action == "transfer"
    mine = base.transfer if transfer else base.other_bytes
    ours = tenant.transfer if transfer else tenant.other_bytes
    rows.append(float(amount))
    rows.append(mine.deviations(bits, ours, LEAST_BYTES_SPREAD))
    rows.append(ours.deviations(bits, ours, LEAST_BYTES_SPREAD))


def _learn_amounts(
    event: AuthEvent, base: Baseline, rate: float, at_s: float, limit: float
) -> None:
    base.rate.learn(rate, limit)
    if event.auth_kind != "token":
        base.rhythm.learn(at_s, limit)
    if event.bytes_transferred is not None:
        scale = base.transfer if event.action == "transfer" else base.other_bytes
        scale.learn(log2(1.0 + event.bytes_transferred), limit)


def _record_failure(event: AuthEvent, user: User, address: Address | None, at_s: float) -> None:
    user.failures.add(1.0, at_s, SHORT_S)
    user.failures_day.add(1.0, at_s, DAY_S)
    if event.action == "mfa":
        user.denials.add(1.0, at_s, SHORT_S)
    if address is None:
        return
    address.failures.add(1.0, at_s, SHORT_S)
    address.failures_day.add(1.0, at_s, DAY_S)
    if at_s - address.failed.get(event.user_id, -HOUR_S) >= HOUR_S:
        address.failing_users.add(1.0, at_s, HOUR_S)
        address.failed[event.user_id] = at_s
        if len(address.failed) > _MOST_FAILED:
            del address.failed[next(iter(address.failed))]


def _shrunk(mine: Scale, ours: Scale) -> float:
    """The usual log2 event rate of a user, leaning on the tenant's while little is known."""
    total = mine.weight + 4.0
    return (mine.mean * mine.weight + ours.mean * 4.0) / total


def _failure_bits(base: Baseline, tenant: Baseline) -> float:
    """Surprise of a failure, -log2 of the user's smoothed failure share."""
    prior = (tenant.failures + 1.0) / (tenant.events + 10.0)
    return -log2((base.failures + 4.0 * prior) / (base.events + 4.0))


def _new_user_bits(tenant: Tenant) -> float:
    """Surprise of a user never seen to succeed, -log2 of the tenant's share of newcomers."""
    return log2((tenant.baseline.events + 4.0) / (tenant.users + 1.0))


def _usual(baseline: Baseline, values: Sequence[str | None]) -> dict[str, Usual]:
    usual: dict[str, Usual] = {}
    for name, field, value in zip(CATEGORIES, baseline.fields, values, strict=True):
        top = field.top()
        if top is not None:
            observed = field.counts.get(value or "", 0.0)
            usual[name] = Usual(top[0], round(top[1]), round(field.weight), round(observed))
    return usual
