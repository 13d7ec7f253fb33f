"""Avro in a topic: the decoder against a schema registry, and a topic replayed with it."""

from __future__ import annotations

import asyncio
import json

import pytest

from services.commands.past import Span, TopicPast
from services.settings import Settings
from services.streaming.args import StreamArgs
from services.streaming.avro import AvroDecode, SchemaRegistry
from services.streaming.base import BrokerAway, Outgoing, Topic
from services.streaming.memory import MemoryBroker
from services.streaming.opening import open_decode
from services.streaming.scoring import Undecodable
from tests.unit.services.streaming.registry import SCHEMA, framed, registry

ANN = {
    "event_id": "e1",
    "timestamp": "2025-11-16T08:00:00Z",
    "user_id": "ann",
    "outcome": "success",
    "country": "DE",
}


async def decoded(address: str, *values: bytes) -> list[bytes]:
    reader = SchemaRegistry(address)
    try:
        return [await AvroDecode(reader)(value) for value in values]
    finally:
        await reader.close()


def test_fields_that_are_null_are_absent_and_a_schema_is_asked_for_once() -> None:
    with registry({7: SCHEMA}) as (address, asked):
        first, second = asyncio.run(decoded(address, framed(ANN), framed({**ANN, "user_id": "bo"})))
    assert json.loads(first) == ANN
    assert json.loads(second)["user_id"] == "bo"
    assert asked == ["/schemas/ids/7"]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (b'{"user_id": "ann"}', "expected Avro"),
        (b"\0\0", "expected Avro"),
        (framed(ANN, number=9), "no Avro schema 9"),
        (framed(ANN)[:20], "not of schema 7"),
        (framed("ann", {"type": "string"}, 8), "expected a record"),
    ],
)
def test_what_is_not_of_a_known_schema_is_told(value: bytes, complaint: str) -> None:
    with (
        registry({7: SCHEMA, 8: {"type": "string"}}) as (address, _),
        pytest.raises(Undecodable, match=complaint),
    ):
        asyncio.run(decoded(address, value))


def test_a_topic_in_avro_is_replayed() -> None:
    """Through the settings a worker reads; what is no event is counted and passed over."""
    broker = MemoryBroker()
    broker.ensure([Topic("events", 2)])
    bo = {**ANN, "event_id": None, "user_id": "bo", "timestamp": "2025-11-16T07:00:00Z"}
    late = {**ANN, "event_id": "e3", "timestamp": "2025-11-17T00:00:00Z"}
    broker.sink().deliver(
        [
            Outgoing("events", framed(each), str(each["user_id"]).encode())
            for each in (bo, ANN, late)
        ]
    )
    broker.sink().deliver([Outgoing("events", value) for value in (b"{}", None, framed(ANN)[:9])])
    with registry({7: SCHEMA}) as (address, asked):
        args = StreamArgs(bootstrap="127.0.0.1:9092", format="avro", schema_registry=address)
        past = TopicPast(broker, "events", open_decode(args, Settings()))
        found = list(past.events(Span(1763251200.0, 1763337600.0)))
    assert [(each.user_id, each.country) for each in found] == [("bo", "DE"), ("ann", "DE")]
    assert found[0].event_id.startswith("events-")
    assert past.skipped == 3
    assert asked == ["/schemas/ids/7"]


def test_a_registry_that_is_away_stops_a_replay() -> None:
    """Else every event would be passed over as undecodable."""
    broker = MemoryBroker()
    broker.ensure([Topic("events")])
    broker.sink().deliver([Outgoing("events", framed(ANN))])
    with registry({}) as (address, _):
        pass
    args = StreamArgs(bootstrap="127.0.0.1:9092", format="avro", schema_registry=address)
    past = TopicPast(broker, "events", open_decode(args, Settings()))
    with pytest.raises(BrokerAway, match="schema registry"):
        list(past.events(Span(0.0, 4e9)))
