"""What is told to the Recorder of a judged part."""

from __future__ import annotations

import msgspec
import numpy as np

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.history import Evidence
from preprocessing.prepare import Context
from services.records import recorded
from services.routing import only
from services.wire import Judged, Part, Recorded
from tests.conftest import NOW_S


def evidence(event: AuthEvent) -> Evidence:
    history = EmbeddedHistory()
    return history.evidence(event, history.observe([event], now_s=NOW_S), 0)


def told(events: list[AuthEvent], repeats: frozenset[int]) -> Recorded:
    """Of four events, the last two flagged and with evidence."""
    ids = [event.event_id for event in events]
    context = Context(
        ids, [event.user_id for event in events], [], [], sorted(repeats), [],
        {row: msgspec.msgpack.encode(evidence(events[row])) for row in (2, 3)},
        [event.timestamp.timestamp() for event in events],
        [event.source_ip or "" for event in events],
    )  # fmt: skip
    values = np.arange(8, dtype=np.float32)
    live = only("v1", "p1").champion
    part = Part(
        live, 2, values.tobytes(), context.encode(), [0, 1, 2, 3], ids, sorted(repeats),
        events=[name.encode() for name in ids],
    )  # fmt: skip
    verdicts = [name.encode() for name in ids]
    judged = Judged(verdicts, [], [2, 3], [4] + [0] * 9, degraded=False)
    return recorded(part, judged, verdicts, repeats)


def test_everything_new_in_its_row(fresh_events: list[AuthEvent]) -> None:
    events = fresh_events[:4]
    whole = told(events, frozenset())
    assert whole.event_ids == [event.event_id for event in events]
    assert np.frombuffer(whole.stamps).tolist() == [event.timestamp.timestamp() for event in events]
    assert whole.addresses == [event.source_ip or "" for event in events]
    assert (sorted(whole.evidence), whole.alerts) == ([2, 3], [2, 3])
    assert whole.events == [event.event_id.encode() for event in events]
    assert (whole.version, whole.path, whole.shadow) == ("v1", "p1", False)


def test_repeats_are_left_out_and_rows_move_up(fresh_events: list[AuthEvent]) -> None:
    events = fresh_events[:4]
    rest = told(events, frozenset({0, 2}))
    assert rest.event_ids == [events[1].event_id, events[3].event_id]
    assert rest.events == [events[1].event_id.encode(), events[3].event_id.encode()]
    assert np.frombuffer(rest.values, np.float32).tolist() == [2.0, 3.0, 6.0, 7.0]
    assert (sorted(rest.evidence), rest.alerts) == ([1], [1])
    assert rest.evidence[1] == told(events, frozenset()).evidence[3]
    assert rest.addresses == [events[1].source_ip or "", events[3].source_ip or ""]
