"""JSON arrays, NDJSON and CSV files of events in our own shape."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.event import FIELDS, AuthEvent, canonical_ip, encode_event
from preprocessing.sources import Item, Rejected, SourceError, SourceOptions
from preprocessing.sources.native import read
from preprocessing.sources.native_csv import cells

NOW_S = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
OPTIONS = SourceOptions(now_s=NOW_S)
HEADER = b"event_id,timestamp,user_id,outcome,mfa,latitude,city\n"
STAMP = b"2026-11-22T08:15:00Z"


def items(content: bytes) -> list[Item]:
    return list(read(io.BytesIO(content), options=OPTIONS))


def users(found: list[Item]) -> list[str]:
    """User ids in order; of a refused line its number and field."""
    return [
        item.user_id if isinstance(item, AuthEvent) else f"{item.line_number}:{item.field}"
        for item in found
    ]


def row(user: bytes, rest: bytes = b",,", *, event_id: bytes = b"") -> bytes:
    return b",".join([event_id, STAMP, user, b"success", rest]) + b"\n"


def table(events: list[AuthEvent]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    writer.writerows(cells(event) for event in events)
    return out.getvalue().encode()


def ndjson(user: str, **more: object) -> bytes:
    fields = {"timestamp": STAMP.decode(), "user_id": user, "outcome": "success"}
    return json.dumps(fields | more).encode()


def test_csv_cells_are_typed_and_empty_ones_absent() -> None:
    (event,) = items(HEADER + row(b"alice", b"true,52.5,"))
    assert isinstance(event, AuthEvent)
    assert (event.mfa, event.latitude, event.city) == (True, 52.5, None)


@pytest.mark.parametrize(
    ("cell", "mfa"), [(b"1", True), (b"0", False), (b"TRUE", True), (b"false", False)]
)
def test_csv_booleans(cell: bytes, mfa: bool) -> None:
    (event,) = items(HEADER + row(b"alice", cell + b",,"))
    assert isinstance(event, AuthEvent)
    assert event.mfa is mfa


def test_csv_accepts_a_mark_crlf_blank_lines_and_unknown_columns() -> None:
    content = (
        b"\xef\xbb\xbfuser_id,timestamp,outcome,colour\r\n\r\nalice,%b,failure,\xff\r\n" % STAMP
    )
    assert users(items(content)) == ["alice"]


def test_a_quoted_newline_is_one_row_and_counts_as_two_lines() -> None:
    content = HEADER + row(b"alice", b',,"New\r\nYork"') + row(b"bob", b"x,,")
    first, second = items(content)
    assert isinstance(first, AuthEvent)
    assert first.city == "New\r\nYork"
    assert isinstance(second, Rejected)
    assert (second.line_number, second.field) == (4, "mfa")


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (row(b"m", b"yes,,"), "mfa"),
        (row(b"m", b",nan,"), "latitude"),
        (row(b"m", b",999,"), "latitude"),
        (row(b"m", b",,\xff"), "city"),
        (row(b"m\x00", b",,"), "user_id"),
        (row(b""), "user_id"),
        (row(b"m", b","), "row"),
        (row(b"m", b",,,"), "row"),
        (row(b"m", b',,"a"b'), "row"),
        (row(b"m", b',,"never closed'), "row"),
        (b",1795336500,m,success,,,\n", "timestamp"),
        (row(b"m" * 200_000), "row"),
    ],
    ids=lambda value: str(value)[-24:],
)
def test_a_bad_row_is_refused_alone(bad: bytes, field: str) -> None:
    found = items(HEADER + row(b"alice") + bad + row(b"bob") + row(b"carol"))
    assert users(found) == ["alice", f"3:{field}", "bob", "carol"]
    assert isinstance(found[1], Rejected)
    assert found[1].raw == bad


def test_a_refused_row_keeps_its_id() -> None:
    (refused,) = items(HEADER + row(b"m", b",999,", event_id=b"e7"))
    assert isinstance(refused, Rejected)
    assert refused.event_id == "e7"


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"user_id,outcome\n", "no column timestamp"),
        (b"timestamp;user_id;outcome\n", "no column timestamp, user_id, outcome"),
        (b"timestamp,user_id,outcome,user_id\n", "user_id appears more than once"),
        (b"timestamp,user_id,outcome,\xff\n", "not valid UTF-8"),
        (b'timestamp,"user_id\n', "malformed header"),
    ],
)
def test_a_bad_header_says_so(header: bytes, problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        items(header + b"a,b,c\n")


def test_rows_without_an_id_get_the_same_one_again() -> None:
    content = HEADER + row(b"alice") + row(b"alice") + row(b"bob")
    ids = [item.event_id for item in items(content)]
    assert len(set(ids)) == 3
    assert ids == [item.event_id for item in items(content)]


def test_ndjson_refuses_a_bad_line_alone() -> None:
    content = ndjson("alice") + b"\r\n\n{oops\n" + ndjson("m", asn=-1) + b"\n" + ndjson("bob")
    assert users(items(content)) == ["alice", "3:body", "4:asn", "bob"]


def test_ndjson_numbers_equal_lines() -> None:
    first, second = items(ndjson("alice") + b"\n" + ndjson("alice") + b"\r\n")
    assert first.event_id is not None
    assert second.event_id == first.event_id.removesuffix("-0") + "-1"


def test_a_json_array_may_span_lines() -> None:
    content = (
        b"\n [" + ndjson("alice") + b",\n" + ndjson("m", mfa=3) + b",\n" + ndjson("bob") + b"]"
    )
    assert users(items(content)) == ["alice", "2:mfa", "bob"]


def test_a_cut_off_array_is_an_error_of_the_file() -> None:
    with pytest.raises(SourceError, match="expected a JSON array"):
        items(b"[" + ndjson("alice"))


# hypothesis takes its bounds without a zone
FIRST, LAST = datetime(2000, 1, 1), datetime(2026, 11, 22)  # noqa: DTZ001
EVENTS = st.builds(
    AuthEvent,
    timestamp=st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    user_id=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1),
    outcome=st.sampled_from(["success", "failure"]),
    event_id=st.uuids().map(str),
    source_ip=st.none() | st.ip_addresses().map(str).map(canonical_ip),
    latitude=st.none() | st.floats(-90, 90),
    asn=st.none() | st.integers(0, 2**32 - 1),
    mfa=st.none() | st.booleans(),
    user_agent=st.none() | st.text(st.sampled_from('a"\r\n,;\t é'), min_size=1),
    bytes_transferred=st.none() | st.integers(0, 2**53),
)


@given(st.lists(EVENTS, min_size=1, max_size=5))
def test_any_events_survive_each_format(events: list[AuthEvent]) -> None:
    encoded = [encode_event(event) for event in events]
    assert items(table(events)) == events
    assert items(b"\n".join(encoded)) == events
    assert items(b"[" + b",".join(encoded) + b"]") == events


@given(st.binary())
def test_arbitrary_bytes_raise_nothing_but_source_errors(content: bytes) -> None:
    for start in (b"", HEADER, b"[", b"{"):
        try:
            found = items(start + content)
        except SourceError:
            continue
        assert all(isinstance(item, AuthEvent | Rejected) for item in found)


@given(EVENTS, st.data())
def test_mutated_tables_raise_nothing(event: AuthEvent, data: st.DataObject) -> None:
    head, _, rest = table([event, event]).partition(b"\n")
    raw = bytearray(rest)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    assert all(isinstance(item, AuthEvent | Rejected) for item in items(head + b"\n" + bytes(raw)))
