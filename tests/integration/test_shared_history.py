"""Several replicas of one history, on a real Redis."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.history import FACTS
from services.cli import main
from services.shared_history.address import Where, where_of
from services.shared_history.history import SharedHistory
from tests.integration.events import NOW_S, event
from tests.unit.services.test_rebuilding import scored


@contextmanager
def writer(url: str, name: str, who: str, count: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.integration.sharing", url, name, who, str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.communicate()


def told(process: subprocess.Popen[str], question: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if question:
        process.stdin.write(question + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def test_two_processes_lose_none_of_one_users_events(redis: str) -> None:
    name = uuid4().hex
    with writer(redis, name, "a", 1000) as one, writer(redis, name, "b", 1000) as other:
        assert told(one) == told(other) == "begun"
        assert told(one) == told(other) == "written"
        for each in (one, other):  # what is learned rides along
            told(each, "what is it?")
        assert told(one, "what is it?") == told(other, "what is it?")
        third = SharedHistory(Where(url=redis, name=name))
        again = [event(f"{who}-{number}") for who in "ab" for number in range(1000)]
        facts = third.observe([*again, event("now")], now_s=NOW_S)
        third.close()
    assert facts.duplicate.tolist() == [True] * 2000 + [False]
    assert facts.values[-1, FACTS.index("learned")] == 2000


def test_an_event_sent_to_two_replicas_is_a_duplicate_in_one(redis: str) -> None:
    where = Where(url=redis, name=uuid4().hex)
    one, other = SharedHistory(where), SharedHistory(where)
    first, again = (each.observe([event("x")], now_s=NOW_S) for each in (one, other))
    assert (first.duplicate.tolist(), again.duplicate.tolist()) == ([False], [True])
    assert other.learn(["x"]) == 1
    other.observe([event("y")], now_s=NOW_S)
    assert one.observe([event("z")], now_s=NOW_S).values[0, FACTS.index("learned")] == 1
    for each in (one, other):
        each.close()


def test_a_users_events_on_two_replicas_are_one_trail(redis: str) -> None:
    where = Where(url=redis, name=uuid4().hex)
    one, other = SharedHistory(where), SharedHistory(where)
    for each in (one, other, one, other):
        each.observe([event(uuid4().hex) for _ in range(2)], now_s=NOW_S)
    one.observe([], now_s=NOW_S)
    last = other.observe([event("now")], now_s=NOW_S).trails[0]
    assert int(last.any(axis=1).sum()) == 9
    for each in (one, other):
        each.close()


def test_the_command_replaces_the_history_of_running_replicas(
    redis: str,
    bundle: Bundle,
    fresh_events: list[AuthEvent],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = f"{redis}?name={uuid4().hex}"
    assert main(["history", "status", "--history", address]) == 1
    running = SharedHistory(where_of(address))
    now_s = fresh_events[-1].timestamp.timestamp()
    running.observe([event("since")], now_s=now_s)
    scored(bundle, fresh_events, tmp_path)
    words = ["--bundle", str(bundle.path), "--from-store", str(tmp_path), "--history", address]
    assert main(["history", "rebuild", *words]) == 0
    assert main(["history", "status", "--history", address]) == 0
    assert "expires   in 30 days" in capsys.readouterr().out
    again = [event("since"), fresh_events[-1], event("new")]
    running.observe([], now_s=now_s)
    running._keeper.mend()
    facts = running.observe(again, now_s=now_s)
    assert not facts.alone
    assert facts.duplicate.tolist() == [True, True, False]
    assert facts.values[1, FACTS.index("learned")] > 0
    running.close()
