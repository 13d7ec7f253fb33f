"""An embedded history as bytes and back: one message of plain values, which holds no code."""

from __future__ import annotations

import msgspec

from preprocessing.feedback import Ledger, Remembered
from preprocessing.history import HistoryError, HistorySettings
from preprocessing.packing import pack, unpack
from preprocessing.state import (
    Address,
    Device,
    Session,
    State,
    Tenant,
    User,
    empty,
    remembered,
    sighting_of,
)

SNAPSHOT_FORMAT = 10


class _Snapshot(msgspec.Struct, array_like=True):
    format: int
    users: dict[str, User]
    strange_users: dict[str, User]
    addresses: dict[str, Address]
    strange_addresses: dict[str, Address]
    devices: dict[str, Device]
    sessions: dict[str, Session]
    tenant: Tenant
    seen: dict[str, int]
    pending: list[Remembered]
    learned: list[Remembered]
    ledger: Ledger


class _Header(msgspec.Struct, array_like=True):
    format: int


_HEADER = msgspec.msgpack.Decoder(_Header)
_SNAPSHOT = msgspec.msgpack.Decoder(_Snapshot, dec_hook=unpack)
_ENCODE = msgspec.msgpack.Encoder(enc_hook=pack).encode


def encode(state: State, *, seen: bool) -> bytes:
    """The state as bytes; ``seen=False`` leaves out ids, sessions, events and feedback."""
    return _ENCODE(
        _Snapshot(
            SNAPSHOT_FORMAT,
            state.users.learned,
            state.users.strangers,
            state.addresses.learned,
            state.addresses.strangers,
            state.devices.learned,
            state.sessions if seen else {},
            state.tenant,
            state.seen.stamps if seen else {},
            [remembered(one) for one in state.pending.values()] if seen else [],
            [remembered(one) for one in state.learned.values()] if seen else [],
            state.ledger if seen else Ledger(),
        )
    )


def decode(data: bytes, settings: HistorySettings) -> State:
    """The state that :func:`encode` wrote; raises :class:`HistoryError`."""
    try:
        found = _HEADER.decode(data).format
        if found != SNAPSHOT_FORMAT:
            message = f"history snapshot format {found}, expected {SNAPSHOT_FORMAT}"
            raise HistoryError(f"{message}; use the ztad version that wrote it")
        snapshot = _SNAPSHOT.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HistoryError(f"not a history snapshot ({error}); train the bundle again") from None
    state = empty(settings)
    state.users.fill(snapshot.users, snapshot.strange_users)
    state.addresses.fill(snapshot.addresses, snapshot.strange_addresses)
    state.tenant = snapshot.tenant
    state.seen.fill(snapshot.seen)
    state.devices.fill(snapshot.devices, {})
    for name in list(snapshot.sessions)[-settings.most_sessions :]:
        state.sessions[name] = snapshot.sessions[name]
    for pending in snapshot.pending[-settings.most_pending :]:
        state.pending[pending.event.event_id] = sighting_of(pending)
    for learned in snapshot.learned[-settings.most_learned :]:
        state.learned[learned.event.event_id] = sighting_of(learned)
    state.ledger = snapshot.ledger
    return state
