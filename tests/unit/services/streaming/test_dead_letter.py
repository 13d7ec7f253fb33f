"""Dead letters: what is kept of a message, and what becomes of it."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from services.streaming.base import Message, Outgoing, Topic
from services.streaming.dead_letter import (
    RETRIES,
    DeadLetters,
    decoded,
    encoded,
    letter,
    tombstone,
)
from services.streaming.memory import MemoryBroker

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BAD = Message(
    "ztad.events", 3, 41, b'{"user_id": 7\xff', b"ann", 1_764_000_000_123,
    [("traceparent", TRACE.encode()), ("source", b"vpn")],
)  # fmt: skip


def broker() -> MemoryBroker:
    memory = MemoryBroker()
    memory.ensure([Topic("ztad.events", 1), Topic("dead", 1, compacted=True)])
    return memory


def test_a_letter_says_everything_about_its_message() -> None:
    dead = letter(BAD, "invalid", "user_id", "expected `str`", now_s=1_764_000_060.0)
    outgoing = encoded("dead", dead)
    assert outgoing.value is not None
    assert (outgoing.topic, outgoing.key) == ("dead", b"ztad.events:3:41")
    assert outgoing.headers == [("traceparent", TRACE.encode())]
    assert json.loads(outgoing.value) == {
        "reason": "invalid",
        "field": "user_id",
        "message": "expected `str`",
        "topic": "ztad.events",
        "partition": 3,
        "offset": 41,
        "value": b64encode(b'{"user_id": 7\xff').decode(),
        "value_bytes": 14,
        "key": b64encode(b"ann").decode(),
        "timestamp": "2025-11-24T16:00:00.123000Z",
        "failed_at": "2025-11-24T16:01:00Z",
        "event_id": None,
        "traceparent": TRACE,
        "headers": [
            ["traceparent", b64encode(TRACE.encode()).decode()],
            ["source", b64encode(b"vpn").decode()],
        ],
    }


def test_a_letter_that_is_retried_is_the_message_as_it_came() -> None:
    memory = broker()
    sink = memory.sink()
    sink.deliver([encoded("dead", letter(BAD, "invalid", "user_id", "why", now_s=0.0))])
    letters = DeadLetters(memory, "dead")
    letters.retry(list(letters.letters()))
    [again] = memory.read("ztad.events")
    assert (again.value, again.key) == (BAD.value, b"ann")
    assert list(again.headers) == [*BAD.headers, (RETRIES, b"1")]
    assert list(letters.letters()) == []


def test_of_every_message_there_is_one_letter_the_newest() -> None:
    memory = broker()
    sink = memory.sink()
    other = Message("ztad.events", 0, 5, None, None, 0)
    sink.deliver([encoded("dead", letter(BAD, "invalid", "user_id", "first", now_s=0.0)),
                  encoded("dead", letter(other, "invalid", "body", "no value", now_s=0.0)),
                  encoded("dead", letter(BAD, "unscorable", "body", "second", now_s=0.0)),
                  Outgoing("dead", b"not ours", b"x")])  # fmt: skip
    letters = DeadLetters(memory, "dead")
    assert [(each.id, each.message) for each in letters.letters()] == [
        ("ztad.events:0:5", "no value"),
        ("ztad.events:3:41", "second"),
    ]
    letters.drop(["ztad.events:3:41"])
    assert [each.id for each in letters.letters()] == ["ztad.events:0:5"]


def test_bytes_that_were_too_many_are_said_to_be_elsewhere() -> None:
    outgoing = encoded("dead", letter(BAD, "too_large", "body", "why", now_s=0.0), whole=False)
    kept = decoded(Message("dead", 0, 0, outgoing.value, outgoing.key, 0))
    assert kept is not None
    assert (kept.value, kept.value_bytes) == (None, 14)
    with pytest.raises(ValueError, match=r"offset 41 of ztad\.events"):
        kept.original()


def test_a_tombstone_is_no_letter() -> None:
    outgoing = tombstone("dead", "ztad.events:3:41")
    assert decoded(Message("dead", 0, 0, outgoing.value, outgoing.key, 0)) is None


def test_what_is_no_letter_is_said() -> None:
    with pytest.raises(ValueError, match="dead, partition 0, offset 9: expected a dead letter"):
        decoded(Message("dead", 0, 9, b"{}", b"k", 0))
