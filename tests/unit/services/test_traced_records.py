"""The trace of an event travels with its verdict to the Recorder, and only if it is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.pipeline import Pipeline
from services.wire import Recorded
from tests.unit.services.stages import FakeGraph, until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENTS = [b'{"event_id": "a"}', b'{"event_id": "b", "bad": "x"}', b'{"event_id": "c"}']


def recorded(parents: Mapping[int, str], known: frozenset[str] = frozenset()) -> Recorded:
    """What the Recorder is sent of three events of one payload, the second of which is refused."""

    async def talk() -> Recorded:
        graph = FakeGraph()
        graph.known = set(known)
        graph.recorded = dict.fromkeys(known, b'{"event_id": "a", "duplicate": false}')
        pipeline: Pipeline = graph.pipeline()
        await pipeline.score(EVENTS, "events", lambda items: [""] * items, lambda items: parents)
        sending = asyncio.ensure_future(pipeline.run_recorder())
        await until(lambda: bool(graph.record.calls))
        sending.cancel()
        (batch,) = graph.record.calls[0][0]
        assert isinstance(batch, Recorded)
        return batch

    return asyncio.run(talk())


def test_by_the_row_of_the_event() -> None:
    batch = recorded({2: TRACE})
    assert batch.event_ids == ["a", "c"]
    assert batch.traces == {1: TRACE}


def test_not_of_a_repeated_event() -> None:
    batch = recorded({0: TRACE, 2: TRACE}, known=frozenset({"a"}))
    assert batch.event_ids == ["c"]
    assert batch.traces == {0: TRACE}


def test_nothing_of_what_nobody_records() -> None:
    assert recorded({}).traces == {}
