"""A shared history while Redis is away, comes back, forgets, and while replicas die."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.history import FACTS
from services.shared_history.address import Where
from services.shared_history.history import SharedHistory
from services.shared_history.replacing import Replacing
from services.shared_history.replica import SharingSettings
from tests.integration.events import NOW_S, event
from tests.integration.own_redis import OwnRedis
from tests.integration.test_shared_history import told, writer

#: Nothing happens by itself: tests say when a replica follows and when it mends.
STILL = SharingSettings(follow_s=3600.0, first_pause_s=3600.0)
Make = Callable[..., SharedHistory]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    own = OwnRedis(tmp_path)
    own.start()
    yield own
    own.kill()


@pytest.fixture
def replica(server: OwnRedis) -> Iterator[Make]:
    """Makes replicas of one history."""
    name, made = uuid4().hex, list[SharedHistory]()

    def one(*, most_news_bytes: int = 1 << 20, **sharing: int) -> SharedHistory:
        where = Where(url=server.url, name=name, most_news_bytes=most_news_bytes)
        made.append(SharedHistory(where, sharing=replace(STILL, **sharing)))
        return made[-1]

    yield one
    for each in made:
        each.close()


def see(history: SharedHistory, *names: str, learn: bool = True) -> list[bool]:
    """Observe events of these names; which of them are repeated."""
    facts = history.observe([event(name) for name in names], now_s=NOW_S)
    if learn:
        history.learn(names)
    return list(map(bool, facts.duplicate))


def mend(*histories: SharedHistory) -> None:
    for each in histories:
        assert each._keeper.mend()
        assert each.apart is None


def learned(history: SharedHistory) -> float:
    facts = history.observe([event(uuid4().hex)], now_s=NOW_S)
    return float(facts.values[0, FACTS.index("learned")])


def assert_equal(*histories: SharedHistory) -> None:
    for each in (*histories, *histories):  # what is to be learned rides along
        each.snapshot()
        if each.apart:  # another one's copy was the better one
            mend(each)
    states = {each.snapshot() for each in histories}
    assert len(states) == 1


def test_without_redis_every_verdict_is_unsure_and_nothing_is_raised(
    server: OwnRedis, replica: Make
) -> None:
    history = replica()
    see(history, *(f"known{n}" for n in range(20)))
    assert learned(history) == 20
    server.kill()
    facts = history.observe([event("x"), event("stranger", user_id="new")], now_s=NOW_S)
    assert facts.alone
    assert facts.learning.tolist() == [True, True]
    assert facts.returned == [0], "who was known before must not be learned when flagged"
    assert facts.values[0, FACTS.index("learned")] == 20
    assert history.learn(["x"]) == 1
    assert history.apart


def test_a_replica_that_starts_without_redis_begins_with_the_base(server: OwnRedis) -> None:
    base = EmbeddedHistory()
    base.observe([event("x")], now_s=NOW_S)
    base.learn(["x"])
    server.kill()
    where = Where(url=server.url, name=uuid4().hex)
    history = SharedHistory(where, base=base.snapshot(), sharing=STILL)
    assert learned(history) == 1
    server.start()
    mend(history)
    assert learned(history) == 1
    history.close()


def test_what_was_done_alone_goes_on_where_it_was(server: OwnRedis, replica: Make) -> None:
    one = replica()
    see(one, "before")
    server.pause()
    see(one, "asked, and not answered")
    see(one, "alone")
    before = one._replica.copy
    server.go_on()
    mend(one)
    assert one._replica.copy is before, "nobody else wrote: there is nothing to make anew"
    other = replica()
    assert see(other, "before", "asked, and not answered", "alone") == [True] * 3
    assert learned(other) == learned(one) == 3
    assert_equal(one, other)


def test_what_two_replicas_did_alone_is_in_both(server: OwnRedis, replica: Make) -> None:
    one, other = replica(), replica()
    see(one, "before")
    server.pause()
    see(one, "x", "y")
    see(other, "y", "z")
    server.go_on()
    mend(one, other)
    assert_equal(one, other)
    assert see(one, "before", "x", "y", "z") == [True] * 4
    assert learned(one) == 4
    assert_equal(one, other)


def test_an_empty_redis_gets_the_history_back(server: OwnRedis, replica: Make) -> None:
    one, other = replica(), replica()
    see(one, "by one")
    see(other, "by other")  # one has not heard of it yet
    server.kill(forget=True)
    server.start()
    see(one, "alone")
    mend(one)
    see(other, "alone too")
    mend(other)
    assert_equal(one, other)
    assert see(replica(), "by one", "by other", "alone", "alone too") == [True] * 4
    assert learned(one) == 4


def test_who_has_just_started_does_not_take_an_empty_redis_for_a_new_one(
    server: OwnRedis, replica: Make
) -> None:
    one, other = replica(), replica()
    for n in range(20):
        see(one, f"by one {n}")
    see(other, "by other")
    server.kill(forget=True)
    server.start()
    third = replica()
    see(third, "by third")
    see(one, "alone")
    see(other, "alone too")
    mend(one)
    assert third.observe([event("meanwhile")], now_s=NOW_S).alone
    mend(other, third)
    assert_equal(one, other, third)
    known = ["by one 0", "by one 19", "by other", "by third", "alone", "alone too", "meanwhile"]
    assert see(third, *known) == [True] * 7


def test_a_redis_without_its_last_second_is_found_out(server: OwnRedis, replica: Make) -> None:
    one, other = replica(), replica()
    see(one, "kept")
    see(other)
    with server.client as client:
        client.save()
    see(one, "lost by one")
    see(other, "lost by other")
    server.kill()
    server.start()
    third = replica()
    see(third, *(f"since {n}" for n in range(5)))  # the log is as long as before
    for each in (one, other):
        assert each.observe([event("now")], now_s=NOW_S).alone
        mend(each)
    assert_equal(one, other, third)
    assert see(third, "kept", "lost by one", "lost by other", "since 4", "now") == [True] * 5


def test_a_long_log_gives_way_to_a_snapshot(server: OwnRedis, replica: Make) -> None:
    one, other = replica(most_log_bytes=1), replica()
    for n in range(100):
        see(one, str(n))
    one._keeper._tend()
    see(one, "after")
    with server.client as client:
        log, *_ = client.keys("*:log")
        assert client.xlen(log) < 6, "where the snapshot ends, and what came since"
        assert len(client.keys("*:snapshot:*")) == 1, "the one before is gone"
        assert all(client.ttl(key) > 29 * 86400 for key in client.scan_iter())
    third = replica()
    assert see(third, "0", "99", "after") == [True] * 3
    # Who is behind the snapshot takes it over.
    assert other.observe([event("now")], now_s=NOW_S).alone
    mend(other)
    assert_equal(one, other, third)


def test_who_has_much_to_read_reads_it_bit_by_bit(replica: Make) -> None:
    one, other = replica(), replica(most_news_bytes=300)
    for n in range(4):
        see(one, f"{n}a", f"{n}b")
    assert see(other, "0a", "3b", "new") == [True, True, False]
    for n in range(30):
        see(one, f"more {n}")
    assert other.observe([event("far behind")], now_s=NOW_S).alone
    mend(other)
    assert see(other, "more 0", "more 29", "far behind") == [True] * 3
    assert_equal(one, other)


def test_only_so_much_waits_for_redis(server: OwnRedis, replica: Make) -> None:
    one = replica(most_waiting_bytes=2000)
    see(one, "before")
    server.pause()
    for n in range(100):
        see(one, f"alone {n}", learn=False)
    server.go_on()
    mend(one)
    # Of the first, Redis had the question before it stood still.
    assert see(replica(), "before", "alone 1", "alone 99") == [True, False, True]


def test_a_history_is_replaced_under_running_replicas(server: OwnRedis, replica: Make) -> None:
    one, other = replica(), replica()
    see(one, "old")
    as_of = one._replica.copy.place
    see(other, "since then")
    another = EmbeddedHistory()
    another.observe([event("another")], now_s=NOW_S)
    another.learn(["another"])
    with Replacing(one._where) as replacing:
        replacing.hold()
        replacing.finish(another.snapshot(), as_of=as_of)
    for each in (one, other):
        assert each.observe([event("meanwhile")], now_s=NOW_S).alone
        mend(each)
    assert see(one, "another", "old", "since then", "meanwhile") == [True, False, True, True]
    assert_equal(one, other)


def test_an_evicted_snapshot_is_written_again_by_who_knows(server: OwnRedis, replica: Make) -> None:
    one = replica()
    see(one, "x")
    with server.client as client:
        client.delete(*client.keys("*:snapshot:*"))
    other = replica()
    assert other.apart
    see(one, "y")
    one._keeper._tend()
    mend(other)
    assert see(other, "x", "y", "z") == [True, True, False]
    assert_equal(one, other)


def test_an_evicted_snapshot_that_nobody_knows_is_not_waited_for(
    server: OwnRedis, replica: Make
) -> None:
    one = replica()
    see(one, "gone")
    one.close()
    with server.client as client:
        client.delete(*client.keys("*:snapshot:*"))
    other = replica()
    see(other, "alone")
    while not other._keeper.mend():
        assert other.apart
    assert see(other, "gone", "alone") == [False, True]
    assert_equal(other, replica())


def test_a_replica_killed_in_the_middle_of_its_work(server: OwnRedis) -> None:
    name = uuid4().hex
    history = SharedHistory(Where(url=server.url, name=name), sharing=STILL)
    with writer(server.url, name, "a", 1_000_000) as one:
        assert told(one) == "begun"
        one.send_signal(signal.SIGKILL)
        one.wait()
    before = learned(history)
    again = SharedHistory(Where(url=server.url, name=name), sharing=STILL)
    assert see(again, "a-0", "a-49", learn=False) == [True, True]
    assert learned(again) == learned(history) == before
    assert_equal(history, again)
    history.close()
    again.close()
