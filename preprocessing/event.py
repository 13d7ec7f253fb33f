"""The one normalised event, decoded and validated straight from bytes.

Everything that enters ztad becomes an :class:`AuthEvent` here or is refused with an
:class:`InvalidEvent` that names the field and what is expected of it. A refused event never takes
its neighbours along: the batch decoders put the error in the event's place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

Outcome = Literal["success", "failure"]
Action = Literal["login", "access", "transfer", "mfa", "logout"]
AuthKind = Literal["interactive", "token", "service"]
AuthMethod = Literal["password", "sso", "mfa", "key", "token"]

#: An event before this instant, or more than MAX_AHEAD_S after now, carries a broken clock.
EARLIEST_S = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
MAX_AHEAD_S = 24 * 3600.0

Identifier = Annotated[str, Meta(min_length=1, max_length=128)]
UserId = Annotated[str, Meta(min_length=1, max_length=256)]
Short = Annotated[str, Meta(max_length=256)]
Long = Annotated[str, Meta(max_length=2048)]
Timestamp = Annotated[datetime, Meta(tz=True)]
Country = Annotated[str, Meta(pattern=r"^[A-Za-z]{2}\Z")]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Asn = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class AuthEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One authentication or access event. Absent optional fields are ``None``.

    ``timestamp`` carries an offset; ``latitude``/``longitude`` are degrees; ``bytes_transferred``
    is a count of bytes; ``failed_attempts`` is what the source itself counted. Decoding gives an
    address its one canonical spelling. ``event_id`` is empty only between decoding and
    :func:`with_ids`.
    """

    timestamp: Timestamp
    user_id: UserId
    outcome: Outcome
    event_id: Identifier = ""
    action: Action = "login"
    auth_kind: AuthKind = "interactive"
    source_ip: Short | None = None
    country: Country | None = None
    city: Short | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    asn: Asn | None = None
    device_id: Short | None = None
    user_agent: Long | None = None
    session_id: Short | None = None
    auth_method: AuthMethod | None = None
    mfa: bool | None = None
    resource: Long | None = None
    bytes_transferred: Count | None = None
    failed_attempts: Count | None = None


FIELDS: tuple[str, ...] = AuthEvent.__struct_fields__
TEXT_FIELDS: tuple[str, ...] = (
    "event_id", "user_id", "city", "device_id", "user_agent", "session_id", "resource",
)  # fmt: skip


class InvalidEvent(ValueError):
    """An event that cannot be scored: which field, what was expected, and its id if it had one."""

    def __init__(self, field: str, message: str, event_id: str | None = None) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.event_id = event_id


Decoded = AuthEvent | InvalidEvent

_EVENT = msgspec.json.Decoder(AuthEvent)
_ARRAY = msgspec.json.Decoder(list[AuthEvent])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
_PACKER = msgspec.msgpack.Encoder()
_UNPACKER = msgspec.msgpack.Decoder(AuthEvent)
_PATH = re.compile(r"(.*) - at `\$(?:\[\.\.\.\]|\[\d+\])?\.?([^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")

_CHOICES = {
    "outcome": Outcome,
    "action": Action,
    "auth_kind": AuthKind,
    "auth_method": AuthMethod,
}
_EXPECTED = {
    name: f"expected one of {', '.join(get_args(kind))}" for name, kind in _CHOICES.items()
}
_EXPECTED |= {
    "timestamp": "expected RFC 3339 with an offset, such as 2026-11-22T08:15:00Z",
    "country": "expected two letters (ISO 3166 alpha-2), such as DE",
}


def decode_event(raw: bytes, *, now_s: float) -> AuthEvent:
    """One JSON object -> one event with its id; raises :class:`InvalidEvent`."""
    event = decode_unidentified(raw, now_s=now_s)
    return event if event.event_id else with_ids([event], [raw])[0]


def decode_array(body: bytes, *, now_s: float) -> list[Decoded]:
    """A JSON array -> events in order, an :class:`InvalidEvent` in place of each bad item.

    Raises :class:`InvalidEvent` on field ``body`` when the array itself is malformed.
    """
    try:
        events = _ARRAY.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        events = None
    if events is not None and _plain(body, events, now_s):
        return list(events)
    return decode_items(split_array(body), now_s=now_s)


def decode_lines(body: bytes, *, now_s: float) -> list[Decoded]:
    """NDJSON -> events in order; blank lines are skipped, a bad line is an error in its place."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    return decode_items(lines, now_s=now_s)


def decode_items(items: Sequence[bytes], *, now_s: float) -> list[Decoded]:
    """Raw JSON objects -> events or errors, each in its place; equal id-less items are numbered."""
    decoded: list[Decoded] = []
    for raw in items:
        try:
            decoded.append(decode_unidentified(raw, now_s=now_s))
        except InvalidEvent as error:
            decoded.append(error)
    return with_ids(decoded, items)


def decode_unidentified(raw: bytes, *, now_s: float) -> AuthEvent:
    """One JSON object -> one event, its ``event_id`` empty if absent; raises InvalidEvent."""
    try:
        event = _EVENT.decode(raw)
    except msgspec.ValidationError as error:
        raise _explained(error, _id_in(raw)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidEvent("body", f"expected one JSON object: {_malformed(error)}") from None
    _check(event, now_s, rb"\u0000" in bytes(raw))
    return event


def split_array(body: bytes) -> list[bytes]:
    """A JSON array -> the raw bytes of its items; raises :class:`InvalidEvent` on ``body``."""
    try:
        return [bytes(item) for item in _ITEMS.decode(body)]
    except msgspec.ValidationError:
        message = "expected a JSON array of events; send one event to /v1/score"
        raise InvalidEvent("body", message) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        message = f"expected a JSON array of events: {_malformed(error)}"
        raise InvalidEvent("body", message) from None


def with_ids(decoded: Iterable[Decoded], raws: Sequence[bytes]) -> list[Any]:
    """Give every event without ``event_id`` one: hash of its bytes plus the ordinal of equals."""
    ids = LineIds()
    out: list[Decoded] = []
    for event, raw in zip(decoded, raws, strict=True):
        if isinstance(event, AuthEvent) and not event.event_id:
            event = msgspec.structs.replace(event, event_id=ids(bytes(raw)))
        out.append(event)
    return out


class LineIds:
    """Ids for what has none: hash of the raw bytes plus the ordinal of equal bytes so far.

    One per file or request. Remembers 16 bytes per distinct line, so that ids are exact.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def __call__(self, raw: bytes) -> str:
        digest = hashlib.blake2b(raw.strip(), digest_size=16).digest()
        ordinal = self._seen.get(digest, 0)
        self._seen[digest] = ordinal + 1
        return f"{digest.hex()}-{ordinal}"


def from_mapping(row: dict[str, Any], raw: bytes, *, now_s: float) -> AuthEvent:
    """A row of strings or typed values (CSV, log sources) -> one event without forcing an id.

    ``raw`` is used only to look for NUL characters. Raises :class:`InvalidEvent`.
    """
    stamp = row.get("timestamp")
    if isinstance(stamp, str) and stamp[4:5] != "-":  # a bare number would pass as seconds
        raise InvalidEvent("timestamp", _EXPECTED["timestamp"], _text(row.get("event_id")))
    try:
        event = msgspec.convert(row, AuthEvent, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(error, _text(row.get("event_id"))) from None
    _check(event, now_s, b"\x00" in raw)
    return event


def encode_event(event: AuthEvent) -> bytes:
    """The event as one JSON object, absent fields left out; decoding it gives an equal event."""
    return _ENCODER.encode(event)


def pack_event(event: AuthEvent) -> bytes:
    """The event as MessagePack, absent fields left out: as histories and stores keep it."""
    return _PACKER.encode(event)


def unpack_event(packed: bytes) -> AuthEvent:
    """The event that :func:`pack_event` wrote."""
    return _UNPACKER.decode(packed)


@lru_cache(maxsize=1 << 16)
def canonical_ip(text: str) -> str | None:
    """The address in canonical form, or ``None`` if ``text`` is no IPv4/IPv6 address.

    >>> canonical_ip("2001:DB8:0:0::1"), canonical_ip("::ffff:192.0.2.1")
    ('2001:db8::1', '192.0.2.1')
    """
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _plain(body: bytes, events: list[AuthEvent], now_s: float) -> bool:
    """True if no event of a well-typed array needs a second, per-item look."""
    if rb"\u0000" in body:
        return False
    latest = now_s + MAX_AHEAD_S
    return all(
        event.event_id
        and EARLIEST_S <= event.timestamp.timestamp() <= latest
        and (event.source_ip is None or _respell_ip(event, event.source_ip))
        for event in events
    )


def _respell_ip(event: AuthEvent, source_ip: str) -> bool:
    """Put the address of a just decoded event into canonical form; False if it is none."""
    canonical = canonical_ip(source_ip)
    if canonical is None:
        return False
    if canonical != source_ip:
        msgspec.structs.force_setattr(event, "source_ip", canonical)
    return True


def _check(event: AuthEvent, now_s: float, maybe_nul: bool) -> None:
    """Rules that types cannot express; raises :class:`InvalidEvent`. Respells the address."""
    known = event.event_id or None
    at = event.timestamp.timestamp()
    if at < EARLIEST_S:
        raise InvalidEvent("timestamp", f"before 2000: {event.timestamp.isoformat()}", known)
    if at > now_s + MAX_AHEAD_S:
        message = f"more than 24 h ahead of now: {event.timestamp.isoformat()}"
        raise InvalidEvent("timestamp", message, known)
    if event.source_ip is not None and not _respell_ip(event, event.source_ip):
        message = f"expected an IPv4 or IPv6 address, got {event.source_ip[:64]!r}"
        raise InvalidEvent("source_ip", message, known)
    if maybe_nul:
        for name in TEXT_FIELDS:
            if "\x00" in (getattr(event, name) or ""):
                of = None if name == "event_id" else known
                raise InvalidEvent(name, "contains a NUL character; remove it", of)


def _malformed(error: Exception) -> str:
    """A decoder's complaint without a word about our internals."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    return str(error).removeprefix("JSON is malformed: ")


def _explained(error: msgspec.ValidationError, event_id: str | None) -> InvalidEvent:
    """msgspec's message -> field and expectation."""
    text = str(error)
    missing = _MISSING.search(text)
    if missing:
        field = missing.group(1)
        return InvalidEvent(field, f"required; {_EXPECTED.get(field, 'it is missing')}", event_id)
    at = _PATH.match(text)
    if at is None or not at.group(2):
        return InvalidEvent("body", f"expected one JSON object: {text}", event_id)
    field = at.group(2).split("[")[0].split(".")[0]
    message = _EXPECTED.get(field) or at.group(1)[:1].lower() + at.group(1)[1:]
    return InvalidEvent(field, message, event_id)


class _IdOnly(msgspec.Struct):
    event_id: Any = None


_ID_ONLY = msgspec.json.Decoder(_IdOnly)


def _id_in(raw: bytes) -> str | None:
    try:
        return _text(_ID_ONLY.decode(raw).event_id)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 128 else None
