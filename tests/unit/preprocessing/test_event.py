"""Decoding of events: what is accepted, what is refused, and that the refusal names the field."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.event import (
    AuthEvent,
    InvalidEvent,
    LineIds,
    canonical_ip,
    decode_array,
    decode_event,
    decode_lines,
    encode_event,
    from_mapping,
    split_array,
)

NOW_S = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
# hypothesis takes its bounds without a zone
FIRST, LAST = datetime(2000, 1, 1), datetime(2026, 11, 22)  # noqa: DTZ001
PLAIN: dict[str, Any] = {
    "event_id": "e1",
    "timestamp": "2026-11-22T08:15:00Z",
    "user_id": "alice",
    "outcome": "success",
}


def body(**fields: Any) -> bytes:
    return json.dumps(PLAIN | fields).encode()


def text(longest: int) -> st.SearchStrategy[str]:
    """Non-empty text that any encoding keeps: no NUL, no lone surrogates."""
    letters = st.characters(codec="utf-8", exclude_characters="\x00")
    return st.text(letters, min_size=1, max_size=longest)


def events() -> st.SearchStrategy[AuthEvent]:
    optional = st.none()
    return st.builds(
        AuthEvent,
        timestamp=st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
        user_id=text(256),
        outcome=st.sampled_from(["success", "failure"]),
        event_id=text(128),
        action=st.sampled_from(["login", "access", "transfer", "mfa", "logout"]),
        auth_kind=st.sampled_from(["interactive", "token", "service"]),
        source_ip=optional | st.ip_addresses().map(str).map(canonical_ip),
        country=optional | st.from_regex(r"[A-Za-z]{2}\Z", fullmatch=True),
        city=optional | text(20),
        latitude=optional | st.floats(-90, 90),
        longitude=optional | st.floats(-180, 180),
        asn=optional | st.integers(0, 2**32 - 1),
        device_id=optional | text(20),
        user_agent=optional | text(40),
        session_id=optional | text(20),
        auth_method=optional | st.sampled_from(["password", "sso", "mfa", "key", "token"]),
        mfa=optional | st.booleans(),
        resource=optional | text(40),
        bytes_transferred=optional | st.integers(0, 2**53),
        failed_attempts=optional | st.integers(0, 2**53),
    )


def test_the_smallest_event_has_defaults() -> None:
    event = decode_event(body(), now_s=NOW_S)
    assert (event.action, event.auth_kind, event.country) == ("login", "interactive", None)


def test_unknown_keys_are_ignored() -> None:
    assert decode_event(body(is_anomaly=1, nested={"a": []}), now_s=NOW_S).user_id == "alice"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp", "2026-11-22T08:15:00"),
        ("timestamp", 1795336500),
        ("timestamp", "0001-01-01T00:00:00Z"),
        ("timestamp", "0001-01-01T00:00:00+14:00"),
        ("timestamp", "9999-12-31T23:59:59Z"),
        ("timestamp", "9999-12-31T23:59:59-14:00"),
        ("timestamp", "2026-11-24T08:15:00Z"),
        ("timestamp", "2026-02-30T08:15:00Z"),
        ("user_id", ""),
        ("user_id", "x" * 257),
        ("user_id", "x" * 10_000_000),
        ("user_id", 5),
        ("user_id", None),
        ("user_id", "a\x00b"),
        ("event_id", ""),
        ("event_id", "x" * 129),
        ("outcome", "maybe"),
        ("action", "explode"),
        ("auth_kind", 1),
        ("auth_method", "password "),
        ("source_ip", "n/a"),
        ("source_ip", "1.2.3.4.5"),
        ("country", "DEU"),
        ("country", "DE\n"),
        ("city", ["Berlin"]),
        ("latitude", 999),
        ("latitude", "52.5"),
        ("latitude", 1e308),
        ("longitude", -180.1),
        ("asn", -1),
        ("asn", 2**32),
        ("mfa", 1),
        ("mfa", "true"),
        ("resource", "a\x00"),
        ("bytes_transferred", -1),
        ("bytes_transferred", 1.5),
        ("bytes_transferred", 10**30),
        ("failed_attempts", {}),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_bad_value_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_event(body(**{field: value}), now_s=NOW_S)
    assert refused.value.field == field
    assert refused.value.event_id == (None if field == "event_id" else "e1")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("field", ["timestamp", "user_id", "outcome"])
def test_a_missing_field_is_named(field: str) -> None:
    raw = json.dumps({key: value for key, value in PLAIN.items() if key != field}).encode()
    with pytest.raises(InvalidEvent, match="required") as refused:
        decode_event(raw, now_s=NOW_S)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"{'user_id': 1}",
        body()[:-10],
        body() + b"}",
        body(latitude=float("nan")),
        body(latitude=float("inf")),
        body()[:-1] + b', "city": "\xff"}',
        body()[:-1] + b', "city": "\x00"}',
        body()[:-1] + b', "city": "\\ud800"}',
        body()[:-1] + b', "x": ' + b"[" * 100_000,
        body()[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda raw: repr(raw[-12:]),
)
def test_what_is_no_json_object_is_refused_as_a_body(raw: bytes) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_event(raw, now_s=NOW_S)
    assert refused.value.field == "body"


def test_an_array_keeps_good_events_beside_bad_ones() -> None:
    bad = body(event_id="e2", latitude=999)
    first, second, third = decode_array(b"[%b,%b,%b]" % (body(), bad, body()), now_s=NOW_S)
    assert isinstance(first, AuthEvent)
    assert isinstance(third, AuthEvent)
    assert isinstance(second, InvalidEvent)
    assert (second.field, second.event_id) == ("latitude", "e2")


@pytest.mark.parametrize("raw", [b"", b"[", b"{}", b"[1,", b"[" * 100_000, b"[]]", b"\xff"])
def test_a_malformed_array_is_refused_whole(raw: bytes) -> None:
    for decode in (split_array, lambda raw: decode_array(raw, now_s=NOW_S)):
        with pytest.raises(InvalidEvent) as refused:
            decode(raw)
        assert refused.value.field == "body"


def test_lines_may_end_in_crlf_and_be_blank() -> None:
    decoded = decode_lines(body() + b"\r\n\r\n  \n" + body(user_id="bob") + b"\r\n", now_s=NOW_S)
    assert [event.user_id for event in decoded if isinstance(event, AuthEvent)] == ["alice", "bob"]


def test_equal_events_without_an_id_are_numbered() -> None:
    raw = json.dumps({key: value for key, value in PLAIN.items() if key != "event_id"}).encode()
    first, second = decode_lines(raw + b"\n" + raw + b"\r\n", now_s=NOW_S)
    assert isinstance(first, AuthEvent)
    assert isinstance(second, AuthEvent)
    assert first.event_id.removesuffix("-0") == second.event_id.removesuffix("-1")
    assert decode_event(raw, now_s=NOW_S).event_id == first.event_id


def test_line_ids_count_equal_lines_only() -> None:
    ids = LineIds()
    assert [ids(raw)[-2:] for raw in (b"a", b"b", b"a\n", b" a")] == ["-0", "-0", "-1", "-2"]


@pytest.mark.parametrize("stamp", ["1795336500", "1795336500.5", "now", ""])
def test_a_row_needs_a_real_stamp(stamp: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        from_mapping(PLAIN | {"timestamp": stamp}, b"", now_s=NOW_S)
    assert refused.value.field == "timestamp"


def test_addresses_have_one_form() -> None:
    assert canonical_ip("2001:DB8:0::1") == "2001:db8::1"
    assert canonical_ip("not an address") is None


@pytest.mark.parametrize("spelling", ["2001:DB8:0:0::1", "2001:db8::1", " 2001:0db8::0001"])
def test_one_address_has_one_spelling(spelling: str) -> None:
    (event,) = decode_array(b"[" + body(source_ip=spelling) + b"]", now_s=NOW_S)
    assert event == decode_event(body(source_ip="2001:db8::1"), now_s=NOW_S)
    assert event == decode_event(body(source_ip=spelling), now_s=NOW_S)


@given(events())
def test_any_event_survives_json(event: AuthEvent) -> None:
    encoded = encode_event(event)
    assert decode_event(encoded, now_s=NOW_S) == event
    assert decode_lines(encoded + b"\n" + encoded, now_s=NOW_S) == [event, event]
    assert decode_array(b"[" + encoded + b"]", now_s=NOW_S) == [event]


def decoded_or_refused(raw: bytes) -> None:
    """Decode in every way; an InvalidEvent is fine, anything else is not."""
    for decode in (decode_event, decode_array, decode_lines):
        with suppress(InvalidEvent):
            decode(raw, now_s=NOW_S)


@given(st.binary())
def test_arbitrary_bytes_raise_nothing_else(raw: bytes) -> None:
    decoded_or_refused(raw)


@given(events(), st.data())
def test_mutated_events_raise_nothing_else(event: AuthEvent, data: st.DataObject) -> None:
    raw = bytearray(encode_event(event))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    decoded_or_refused(bytes(raw))
    decoded_or_refused(b"[" + bytes(raw) + b"]")


def test_an_event_is_immutable() -> None:
    event = decode_event(body(), now_s=NOW_S)
    with pytest.raises(AttributeError):
        event.user_id = "mallory"  # type: ignore[misc]
    assert msgspec.structs.replace(event, user_id="bob").user_id == "bob"
