"""``ztad dlq`` on a broker in memory."""

from __future__ import annotations

import json

import pytest

from services.cli import main
from services.commands import dlq
from services.streaming.base import Message, Outgoing, Topic
from services.streaming.dead_letter import RETRIES, DeadLetters, encoded, letter
from services.streaming.memory import MemoryBroker

EVENTS, DEAD = "ztad.events", "ztad.dead-letters"


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """With three letters, the last of them given up last."""
    broker = MemoryBroker()
    broker.ensure([Topic(EVENTS, 2), Topic(DEAD, compacted=True)])
    trace = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    first = Message(EVENTS, 0, 7, b'{"user_id": ""}', b"ann", 1000, [trace])
    second = Message(EVENTS, 1, 8, b"\xff\x1b[31m", None, 2000)
    third = Message(EVENTS, 1, 9, b"{}", b"bob", 3000)
    letters = [
        letter(first, "invalid", "user_id", "expected 1 to 256 characters", now_s=10.0),
        letter(second, "undecodable", "body", "expected JSON", now_s=20.0),
        letter(third, "unscorable", "body", "a stage fails at it", now_s=30.0),
    ]
    broker.sink().deliver([encoded(DEAD, each) for each in letters])
    monkeypatch.setattr(dlq, "open_letters", lambda topic: DeadLetters(broker, topic or DEAD))
    return broker


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[int]:
    """The originals' offsets, in the order of the list."""
    assert main(["dlq", "list", "--json", *words]) == 0
    return [json.loads(line)["offset"] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("broker")
def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys) == [9, 8, 7]
    assert listed(capsys, "--limit", "1") == [9]
    assert listed(capsys, "--reason", "invalid") == [7]
    assert listed(capsys, "--since", "1970-01-01T00:00:20Z") == [9, 8]
    assert main(["dlq", "list", "--json", "--limit", "1"]) == 0
    one = json.loads(capsys.readouterr().out)["id"]
    assert main(["dlq", "show", one]) == 0
    assert one in capsys.readouterr().out
    assert main(["dlq", "list"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("3 dead letters: ")
    assert "ztad.events:1:8" in told


@pytest.mark.usefixtures("broker")
def test_show_never_prints_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dlq", "show", "ztad.events:1:8"]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\\x1b[31m" in told
    assert main(["dlq", "show", "ztad.events:0:7"]) == 0
    told = capsys.readouterr().out
    assert '"user_id": ""' in told
    assert "0af7651916cd43dd8448eb211c80319c" in told
    assert "expected 1 to 256 characters" in told


def test_retry_sends_the_original_and_takes_the_letter_away(
    capsys: pytest.CaptureFixture[str], broker: MemoryBroker
) -> None:
    assert main(["dlq", "retry", "ztad.events:0:7"]) == 0
    capsys.readouterr()
    assert listed(capsys) == [9, 8]
    (again,) = broker.read(EVENTS)
    assert (again.value, again.key) == (b'{"user_id": ""}', b"ann")
    assert dict(again.headers)[RETRIES] == b"1"
    assert dict(again.headers)["traceparent"].startswith(b"00-0af7")
    twice = letter(again, "invalid", "user_id", "still", now_s=40.0)
    assert twice.retries == 1
    assert dict(twice.original().headers)[RETRIES] == b"2"


def test_retry_all_of_a_reason(capsys: pytest.CaptureFixture[str], broker: MemoryBroker) -> None:
    assert main(["dlq", "retry", "--reason", "unscorable"]) == 0
    assert [message.value for message in broker.read(EVENTS)] == [b"{}"]
    assert main(["dlq", "retry", "--all"]) == 0
    assert len(list(broker.read(EVENTS))) == 3
    capsys.readouterr()
    assert listed(capsys) == []


@pytest.mark.usefixtures("broker")
def test_drop_wants_to_be_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dlq", "drop", "--all"]) == 2
    assert "say --yes" in capsys.readouterr().err
    assert listed(capsys) == [9, 8, 7]
    assert main(["dlq", "drop", "ztad.events:1:9", "--yes"]) == 0
    capsys.readouterr()
    assert listed(capsys) == [8, 7]


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["retry"], "which ones?"),
        (["drop", "--yes"], "which ones?"),
        (["show", "ztad.events:9:9"], "there is no letter ztad.events:9:9"),
        (["list", "--topic", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done(
    capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert main(["dlq", *words]) == 2
    assert complaint in capsys.readouterr().err


def test_without_brokers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZTAD_KAFKA", raising=False)
    assert main(["dlq", "list"]) == 2
    assert "ZTAD_KAFKA is not set" in capsys.readouterr().err


def test_an_original_that_was_not_kept_is_not_sent(
    capsys: pytest.CaptureFixture[str], broker: MemoryBroker
) -> None:
    large = letter(Message(EVENTS, 0, 1, b"x" * 99, None, 0), "too_large", "body", "-", now_s=1.0)
    broker.sink().deliver([encoded(DEAD, large, whole=False), Outgoing(DEAD, b"junk", b"junk")])
    assert main(["dlq", "retry", "--all"]) == 2
    assert "99 bytes were too many" in capsys.readouterr().err
    assert list(broker.read(EVENTS)) == []
