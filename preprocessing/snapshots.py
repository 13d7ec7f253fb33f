"""An embedded history as bytes and back: one message of plain values, which holds no code."""

from __future__ import annotations

import struct

import msgspec
from zstandard import ZstdError

from preprocessing import packing, resting, rows
from preprocessing.feedback import Ledger, Remembered
from preprocessing.history import HistoryError, HistorySettings
from preprocessing.known import Known
from preprocessing.memory import State
from preprocessing.seen import SeenIds
from preprocessing.sighting import Past, remembered_row, sighting_of

SNAPSHOT_FORMAT = 12
#: The oldest that is still read.
OLDEST_FORMAT = 11


class _Snapshot(msgspec.Struct, array_like=True):
    format: int
    users: dict[str, rows.User]
    strange_users: dict[str, rows.User]
    addresses: dict[str, rows.Address]
    strange_addresses: dict[str, rows.Address]
    devices: dict[str, rows.Device]
    sessions: dict[str, rows.Session]
    tenant: rows.Tenant
    seen: dict[str, int]
    pending: list[Remembered]
    learned: list[Remembered]
    ledger: Ledger
    dictionary: bytes
    resting_users: dict[str, bytes]
    resting_strange_users: dict[str, bytes]
    resting_addresses: dict[str, bytes]
    resting_strange_addresses: dict[str, bytes]
    resting_devices: dict[str, bytes]


class _Header(msgspec.Struct, array_like=True):
    format: int


_HEADER = msgspec.msgpack.Decoder(_Header)
_SNAPSHOT = msgspec.msgpack.Decoder(_Snapshot)
_ENCODE = msgspec.msgpack.Encoder().encode


def empty(settings: HistorySettings) -> State:
    """The state of a history that has seen nothing."""
    awake, strangers = settings.most_awake, settings.most_strangers
    return State(
        users=Known(settings.most_users, strangers, awake, resting.Users()),
        addresses=Known(settings.most_addresses, strangers, awake, resting.addresses()),
        devices=Known(settings.most_devices, 0, awake, resting.devices()),
        seen=SeenIds(settings.most_seen, settings.seen_s),
        past=Past(settings.most_learned),
    )


def encode(state: State, *, seen: bool) -> bytes:
    """The state as bytes; ``seen=False`` leaves out ids, sessions, events and feedback.

    Who rests is written as it rests, which takes no time worth mentioning.
    """
    users, addresses, devices = state.users, state.addresses, state.devices
    sessions = {name: packing.session_row(one) for name, one in state.sessions.items()}
    return _ENCODE(
        (
            SNAPSHOT_FORMAT,
            {name: packing.user_row(one) for name, one in users.learned.awake.items()},
            {name: packing.user_row(one) for name, one in users.strangers.awake.items()},
            {name: packing.address_row(one) for name, one in addresses.learned.awake.items()},
            {name: packing.address_row(one) for name, one in addresses.strangers.awake.items()},
            {name: packing.device_row(one) for name, one in devices.learned.awake.items()},
            sessions if seen else {},
            packing.tenant_row(state.tenant),
            state.seen.stamps if seen else {},
            [remembered_row(one) for one in state.pending.values()] if seen else [],
            state.past.rows() if seen else [],
            state.ledger if seen else Ledger(),
            users.packer.dictionary,
            users.learned.resting,
            users.strangers.resting,
            addresses.learned.resting,
            addresses.strangers.resting,
            devices.learned.resting,
        )
    )


def decode(data: bytes, settings: HistorySettings) -> State:
    """The state that :func:`encode` wrote; raises :class:`HistoryError`."""
    try:
        found = _HEADER.decode(data).format
        if not OLDEST_FORMAT <= found <= SNAPSHOT_FORMAT:
            message = f"history snapshot format {found}, expected {SNAPSHOT_FORMAT}"
            raise HistoryError(f"{message}; use the ztad version that wrote it")
        return _state_of(_SNAPSHOT.decode(data), settings)
    except HistoryError:
        raise
    except (ValueError, LookupError, RecursionError, struct.error, ZstdError) as error:
        raise HistoryError(f"not a history snapshot ({error}); train the bundle again") from None


def _state_of(snapshot: _Snapshot, settings: HistorySettings) -> State:
    state = empty(settings)
    _fill(state, snapshot)
    state.tenant = packing.tenant_of(snapshot.tenant)
    state.seen.fill(snapshot.seen)
    for name in list(snapshot.sessions)[-settings.most_sessions :]:
        state.sessions[name] = packing.session_of(snapshot.sessions[name])
    for pending in snapshot.pending[-settings.most_pending :]:
        state.pending[pending.event.event_id] = sighting_of(pending)
    for learned in snapshot.learned[-settings.most_learned :]:
        state.past.keep(sighting_of(learned))
    state.ledger = snapshot.ledger
    return state


def _fill(state: State, snapshot: _Snapshot) -> None:
    users, addresses, devices = state.users, state.addresses, state.devices
    users.packer.take(snapshot.dictionary)
    users.learned.fill(snapshot.resting_users, snapshot.users, packing.user_of)
    users.strangers.fill(snapshot.resting_strange_users, snapshot.strange_users, packing.user_of)
    addresses.learned.fill(snapshot.resting_addresses, snapshot.addresses, packing.address_of)
    addresses.strangers.fill(
        snapshot.resting_strange_addresses, snapshot.strange_addresses, packing.address_of
    )
    devices.learned.fill(snapshot.resting_devices, snapshot.devices, packing.device_of)
    for known in (users, addresses, devices):
        known.settle()
