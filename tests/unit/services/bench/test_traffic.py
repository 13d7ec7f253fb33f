"""Traffic: valid events, never the same id, times that go on."""

from itertools import pairwise

import msgspec
import pytest

from preprocessing.event import AuthEvent, decode_event, decode_lines
from services.bench.traffic import COPIES, Traffic, templates

NOW_S = 1_780_000_000.0
ANN = (
    b'{"event_id":"a","timestamp":"2026-01-05T09:00:00+05:30","user_id":"ann",'
    b'"outcome":"success","source_ip":"81.2.3.4","device_id":"d1","session_id":"s1","mfa":true}'
)
BOB = (
    b'{"event_id":"b","timestamp":"2026-01-06T23:59:59.999Z","user_id":"b\\"ob",'
    b'"outcome":"failure"}'
)
LINES = [ANN, BOB]


def traffic(number: int = 0, now_s: float = NOW_S) -> Traffic:
    made = [each for line in LINES for each in templates(line, "r1")]
    return Traffic(made, run="r1", number=number, now_s=now_s)


def drawn(source: Traffic, events: int) -> list[AuthEvent]:
    return [decode_event(source.event(), now_s=NOW_S) for _ in range(events)]


def test_events_are_valid_and_have_ids_of_their_own() -> None:
    events = drawn(traffic(), 10 * COPIES)
    assert len({event.event_id for event in events}) == len(events)
    assert [event.user_id for event in events[: COPIES + 1 : COPIES]] == ["ann", 'b"ob']


def test_other_copies_are_other_people_at_other_addresses() -> None:
    events = drawn(traffic(), COPIES)
    assert len({event.user_id for event in events}) == COPIES
    assert len({event.source_ip for event in events}) == COPIES
    assert len({event.device_id for event in events}) == COPIES
    assert len({event.session_id for event in events}) == COPIES
    assert all(event.mfa for event in events)


def test_time_goes_on_at_its_own_pace_with_the_same_offset() -> None:
    events = drawn(traffic(), 6 * COPIES)
    assert all(before.timestamp <= after.timestamp for before, after in pairwise(events))
    again = events[2 * COPIES]
    assert again.timestamp.isoformat() == "2026-01-19T09:00:00+05:30"


def test_time_never_passes_the_present() -> None:
    late = traffic(number=4_000_000)
    assert drawn(late, 1)[0].timestamp.timestamp() <= NOW_S


def test_a_number_names_an_event() -> None:
    first = traffic()
    first.batch(5)
    assert first.event() == traffic(number=5).event()


def test_a_batch_is_ndjson() -> None:
    decoded = decode_lines(traffic().batch(20), now_s=NOW_S)
    assert [type(event) for event in decoded] == [AuthEvent] * 20


def test_only_the_required_keys() -> None:
    line = b'{"timestamp":"2026-01-05T09:00:00Z","user_id":"ann","outcome":"success"}'
    made = Traffic(templates(line, "r"), run="r", now_s=NOW_S)
    assert msgspec.json.decode(made.event())["outcome"] == "success"


def test_no_events() -> None:
    with pytest.raises(ValueError, match="no events"):
        Traffic([], run="r")
