"""Who rests is who never rested, to the last bit, whatever is done meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pytest

from preprocessing import resting
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.feedback import Disposition, Feedback
from preprocessing.history import Facts, HistorySettings
from preprocessing.known import Known
from preprocessing.packing import Row, address_row, device_row, user_row
from preprocessing.state import User
from tests.unit.preprocessing.fortnight import fortnight

NOW_S = 1e9
FEW = HistorySettings(most_awake=3)


@pytest.fixture(scope="module")
def events() -> list[AuthEvent]:
    return fortnight()


def known(history: EmbeddedHistory) -> Iterator[Any]:
    """All that is known of everybody, as rows, by kind and name."""
    state = history._state
    kinds: tuple[tuple[Known[Any], Callable[[Any], Row]], ...] = (
        (state.users, user_row), (state.addresses, address_row), (state.devices, device_row),
    )  # fmt: skip
    for kind, row in kinds:
        for tier in (kind.learned, kind.strangers):
            names = [*tier.resting, *tier.awake]
            yield dict(zip(names, map(row, tier.values()), strict=True))


def same(one: Facts, other: Facts) -> bool:
    return (
        one.values.tobytes() == other.values.tobytes()
        and np.array_equal(one.trails, other.trails)
        and np.array_equal(one.late, other.late)
        and (one.places, one.marked, one.returned) == (other.places, other.marked, other.returned)
    )


def restarted(history: EmbeddedHistory) -> EmbeddedHistory:
    other = EmbeddedHistory(history.settings)
    other.restore(history.snapshot())
    return other


@pytest.mark.parametrize("seed", range(6))
def test_resting_changes_nothing(events: list[AuthEvent], seed: int) -> None:
    rng = random.Random(seed)
    pair = [EmbeddedHistory(FEW), EmbeddedHistory()]
    at, steps = 0, []
    said: tuple[Disposition | None, ...] = ("compromised", "safe", "benign_true", None)
    while at < 1500:
        some = events[at : at + rng.randint(1, 60)]
        at += len(some)
        one, other = (each.observe(some, now_s=NOW_S) for each in pair)
        assert same(one, other)
        strange = rng.randrange(len(some))
        shown = [each.evidence(some[strange], one, strange) for each in pair]
        assert pair[0].with_typical(shown[0]) == pair[1].with_typical(shown[1])
        ids = [each.event_id for each in some if rng.random() < 0.8]
        assert pair[0].learn(ids) == pair[1].learn(ids)
        if rng.random() < 0.3:
            feedback = [Feedback(at, rng.choice(said), rng.choice(events[:at]))]
            assert pair[0].correct(feedback) == pair[1].correct(feedback)
        if rng.random() < 0.1:
            pair = [restarted(each) for each in pair]
        steps.append(len(pair[0]._state.users.learned.awake))
    assert max(steps) <= 3 < len(pair[0]._state.users.learned.resting)
    for one_kind, other_kind in zip(*map(known, pair), strict=True):
        assert one_kind == other_kind
    assert pair[0].newest_s == pair[1].newest_s


def test_a_replayed_history_rests_as_well(events: list[AuthEvent]) -> None:
    seen, done = EmbeddedHistory(), EmbeddedHistory(FEW)
    for at in range(0, 900, 90):
        some = events[at : at + 90]
        facts = seen.observe(some, now_s=NOW_S)
        done.replay(some, None, now_s=NOW_S)
        joining = [row for row in range(90) if not (facts.late[row] or facts.duplicate[row])]
        joined = b"".join(facts.trails[row, -1].tobytes() for row in joining)
        done.join([some[row].user_id for row in joining], joined)
        for each in (seen, done):
            each.learn(event.event_id for event in some)
    assert len(done._state.users.learned.awake) <= 3
    assert len(done._state.users.learned.resting) > 3
    for mine, theirs in zip(known(done), known(seen), strict=True):
        assert mine == theirs


def users(count: int) -> list[User]:
    """Users of whom the same was learned, at other times."""
    history = EmbeddedHistory()
    some = fortnight()[:400]
    history.observe(some, now_s=NOW_S)
    history.learn(each.event_id for each in some)
    found = list(history._state.users.learned.values())
    return [found[n % len(found)] for n in range(count)]


def test_a_dictionary_makes_users_smaller_and_wakes_those_who_rested_before() -> None:
    some = users(resting.LEAST_STUDIED)
    packer = resting.Users()
    before = [packer.pack(user) for user in some[:50]]
    packer.study(dict(enumerate(some)).values())
    after = [packer.pack(user) for user in some[:50]]
    assert len(packer.dictionary) <= resting.DICTIONARY_BYTES
    assert sum(map(len, after)) < 0.8 * sum(map(len, before))
    for packed in (before, after):
        woken = [packer.unpack(each) for each in packed]
        assert [user_row(user) for user in woken if user] == [user_row(user) for user in some[:50]]
    other = resting.Users(packer.dictionary)
    assert [other.pack(user) for user in some[:50]] == after


def test_few_users_make_no_dictionary() -> None:
    packer = resting.Users()
    packer.study(dict(enumerate(users(resting.LEAST_STUDIED - 1))).values())
    assert packer.dictionary == b""


@pytest.mark.parametrize("damage", [b"", b"\x00", b"nonsense", b"\x28\xb5\x2f\xfd\x00"])
def test_a_damaged_user_is_a_stranger(damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    known: Known[User] = Known(10, 10, 0, resting.Users())
    known.promote("ana", User(1.0))
    known.settle()
    known.learned.resting["ana"] = damage
    assert known.get("ana") is None
    assert len(known) == 0
    assert "damaged" in caplog.text


def test_a_damaged_address_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    packer = resting.addresses()
    assert packer.unpack(msgspec.msgpack.encode([None, [1], {}, 0])) is None
    assert "damaged" in caplog.text


def test_the_longest_unused_rest_and_are_forgotten_first() -> None:
    known: Known[User] = Known(4, 4, 2, resting.Users())
    for name in "abcd":
        known.promote(name, User(1.0))
    known.settle()
    assert list(known.learned.resting) == ["a", "b"]
    known.use("a", User(2.0))
    known.settle()
    assert (list(known.learned.resting), list(known.learned.awake)) == (["b", "c"], ["d", "a"])
    known.promote("e", User(1.0))
    assert list(chain(known.learned.resting, known.learned.awake)) == ["c", "d", "a", "e"]
    assert [user.newest_s for user in known.learned.values()] == [1.0] * 4
