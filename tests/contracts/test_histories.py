"""What every ``UserHistory`` promises (preprocessing/history.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import exp
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent, decode_array
from preprocessing.feedback import Disposition, Feedback
from preprocessing.history import FACTS, Facts, HistoryError, HistorySettings, UserHistory
from preprocessing.journal import JournaledHistory
from preprocessing.snapshots import SNAPSHOT_FORMAT
from services.shared_history.address import Where
from services.shared_history.history import SharedHistory
from tuning.generate import generate

Make = Callable[..., UserHistory]

START = datetime(2026, 11, 2, 9, tzinfo=UTC)  # a Monday
NOW_S = START.timestamp()


def event(name: str, minutes: float = 0.0, **fields: Any) -> AuthEvent:
    at = START + timedelta(minutes=minutes)
    return AuthEvent(at, **{"user_id": "ana", "outcome": "success", "event_id": name} | fields)


def fact(facts: Facts, name: str, row: int = 0) -> float:
    return float(facts.values[row, FACTS.index(name)])


def taught(history: UserHistory, count: int = 20, **fields: Any) -> UserHistory:
    """The history after ``count`` learned events, one a day at nine."""
    user = fields.get("user_id", "ana")
    events = [event(f"{user}{day}", day * 1440.0, **fields) for day in range(-count, 0)]
    history.observe(events, now_s=NOW_S)
    assert history.learn(e.event_id for e in events) == count
    return history


@pytest.fixture(params=["embedded", "journaled", "shared"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[UserHistory] = []
    url = request.getfixturevalue("redis") if request.param == "shared" else ""

    def one(**settings: Any) -> UserHistory:
        bounds = HistorySettings(**settings)
        if request.param == "embedded":
            made.append(EmbeddedHistory(bounds))
        elif request.param == "journaled":
            made.append(JournaledHistory(tmp_path / str(len(made)), settings=bounds))
        else:
            made.append(SharedHistory(Where(url=url, name=uuid4().hex), settings=bounds))
        return made[-1]

    yield one
    for history in made:
        history.close()


@pytest.fixture(scope="module")
def stream() -> list[AuthEvent]:
    rows = generate("enterprise", events=2400, seed=1).events
    decoded = decode_array(json.dumps(rows).encode(), now_s=4e9)
    return [event for event in decoded if isinstance(event, AuthEvent)]


def run(
    history: UserHistory, events: Sequence[AuthEvent], size: int, learn_every: int = 1000
) -> NDArray[np.float64]:
    """Facts of all events in batches of ``size``, three of four learned every ``learn_every``."""
    blocks = []
    for start in range(0, len(events), learn_every):
        part = events[start : start + learn_every]
        blocks += [
            history.observe(part[at : at + size], now_s=NOW_S).values
            for at in range(0, len(part), size)
        ]
        history.learn(e.event_id for index, e in enumerate(part) if index % 4)
    return np.concatenate(blocks)


def test_facts_do_not_depend_on_batch_size(make: Make, stream: list[AuthEvent]) -> None:
    one = run(make(), stream, 1)
    assert np.array_equal(one, run(make(), stream, 7))
    assert np.array_equal(one, run(make(), stream, 1000))


def test_nor_do_they_when_memory_is_short(make: Make, stream: list[AuthEvent]) -> None:
    short = {
        "most_users": 20,
        "most_strangers": 5,
        "most_addresses": 10,
        "most_pending": 50,
        "most_seen": 30,
    }
    one = run(make(**short), stream, 1)
    assert np.array_equal(one, run(make(**short), stream, 1000))


def test_later_events_change_nothing(make: Make, stream: list[AuthEvent]) -> None:
    whole = make().observe(stream, now_s=NOW_S)
    prefix = make().observe(stream[:700], now_s=NOW_S)
    assert np.array_equal(whole.values[:700], prefix.values)
    assert whole.places[:700] == prefix.places


def test_a_brand_new_user_is_ordinary(make: Make) -> None:
    bare = event("a")
    full = event(
        "b", user_id="bo", outcome="failure", latitude=1.0, longitude=2.0, bytes_transferred=9,
        country="DE", asn=1, device_id="d", resource="r", source_ip="192.0.2.1", mfa=False,
    )  # fmt: skip
    facts = make().observe([bare, full], now_s=NOW_S)
    assert np.isfinite(facts.values).all()
    assert (facts.values >= 0).all()
    assert fact(facts, "device_user_bits", 1) == 0.0
    assert facts.learning.tolist() == [True, True]


def test_no_events_are_no_facts(make: Make) -> None:
    facts = make().observe([], now_s=NOW_S)
    assert facts.values.shape == (0, len(FACTS))
    assert facts.places == []


def test_events_of_one_batch_see_each_other(make: Make) -> None:
    failures = [event(str(n), n / 60, outcome="failure", source_ip="192.0.2.1") for n in range(4)]
    facts = make().observe(failures, now_s=NOW_S)
    counts = [fact(facts, "user_failures_15m", row) for row in range(4)]
    assert counts == pytest.approx([0, 1, 2, 3], abs=0.01)
    assert fact(facts, "address_failures_15m", 3) == pytest.approx(3, abs=0.01)
    assert fact(facts, "address_failing_users_1h", 3) == pytest.approx(1, abs=0.01)


def test_each_window_fades_at_its_own_pace(make: Make) -> None:
    fields: dict[str, Any] = {
        "outcome": "failure", "source_ip": "192.0.2.1", "action": "mfa",
    }  # fmt: skip
    facts = make().observe([event("a", **fields), event("b", 60, **fields)], now_s=NOW_S)
    for name in ("user_failures", "address_failures", "mfa_denials"):
        assert fact(facts, f"{name}_15m", 1) == pytest.approx(exp(-4))
        assert fact(facts, f"{name}_1h", 1) == pytest.approx(exp(-1))
    assert fact(facts, "user_failures_1d", 1) == pytest.approx(exp(-1 / 24))


def test_a_repeated_id_changes_nothing(make: Make) -> None:
    twice, once = taught(make()), taught(make())
    attack = event("x", outcome="failure", source_ip="192.0.2.1")
    first = twice.observe([attack, attack], now_s=NOW_S)
    twice.observe([attack], now_s=NOW_S + 3600)
    once.observe([attack], now_s=NOW_S)
    assert first.duplicate.tolist() == [False, True]
    after = event("y", 1, source_ip="192.0.2.1")
    assert_same(twice, once, [after])
    assert twice.learn(["x"]) == 1
    assert twice.observe([attack], now_s=NOW_S).duplicate.tolist() == [True]
    assert twice.learn(["x"]) == 0


def test_an_id_is_forgotten_after_a_day(make: Make) -> None:
    history = make(seen_s=86400.0)
    history.observe([event("x")], now_s=NOW_S)
    assert history.observe([event("x")], now_s=NOW_S + 86399).duplicate.all()
    assert not history.observe([event("x")], now_s=NOW_S + 86402).duplicate.any()


def test_only_so_many_ids_are_remembered(make: Make) -> None:
    history = make(most_seen=3)
    history.observe([event(name, user_id=name) for name in "abcd"], now_s=NOW_S)
    again = history.observe([event(name, user_id=name) for name in "dcba"], now_s=NOW_S)
    assert again.duplicate.tolist() == [True, True, True, False]


def test_a_late_event_travels_and_teaches_nothing(make: Make) -> None:
    history = taught(make(), latitude=52.5, longitude=13.4, city="Berlin")
    history.observe([event("now", latitude=52.5, longitude=13.4)], now_s=NOW_S)
    far = {"latitude": 1.35, "longitude": 103.8}
    facts = history.observe([event("late", -16, **far), event("on time", -14, **far)], now_s=NOW_S)
    assert facts.late.tolist() == [True, False]
    assert fact(facts, "travel_km", 0) == 0.0
    assert fact(facts, "travel_km", 1) > 9000
    assert fact(facts, "home_km", 0) > 9000
    assert history.learn(["late"]) == 0
    assert history.learn(["on time"]) == 1


def test_what_is_not_learned_stays_strange(make: Make) -> None:
    flagged, learned = taught(make(), country="DE"), taught(make(), country="DE")
    trips = [event(f"trip{n}", n, country="SG") for n in range(5)]
    for history in (flagged, learned):
        history.observe(trips, now_s=NOW_S)
    learned.learn(e.event_id for e in trips)
    again = event("again", 10, country="SG")
    facts = [history.observe([again], now_s=NOW_S) for history in (flagged, learned)]
    assert fact(facts[0], "country_user_bits") > 3 > fact(facts[1], "country_user_bits")
    assert fact(facts[0], "learned") == 20
    assert fact(facts[1], "learned") == 25


def test_learning_ends_with_the_tenth_event(make: Make) -> None:
    nine, ten = taught(make(), 9), taught(make(), 10)
    assert nine.observe([event("x")], now_s=NOW_S).learning.tolist() == [True]
    assert ten.observe([event("x")], now_s=NOW_S).learning.tolist() == [False]


def test_unknown_ids_teach_nothing(make: Make) -> None:
    history = taught(make(), 3)
    assert history.learn(["never seen", "ana-1"]) == 0


def test_evidence_is_the_baseline_before_the_event(make: Make) -> None:
    history = taught(make(), country="DE", latitude=52.5, longitude=13.4, city="Berlin")
    trip = event("trip", 40, country="SG", latitude=1.35, longitude=103.8)
    facts = history.observe([trip], now_s=NOW_S)
    evidence = history.evidence(trip, facts, 0)
    history.learn(["trip"])
    assert evidence.event == trip
    assert evidence.events == 20
    assert evidence.days == pytest.approx(20, abs=0.1)
    assert evidence.place is not None
    assert evidence.place.city == "Berlin"
    country = evidence.usual["country"]
    assert (country.value, country.count, country.total, country.observed) == ("DE", 20, 20, 0)
    assert 9 in evidence.hours
    assert 3 not in evidence.hours
    assert evidence.facts == tuple(facts.values[0])


def test_evidence_of_a_stranger(make: Make) -> None:
    history = make()
    stranger = event("x", user_id="who")
    evidence = history.evidence(stranger, history.observe([stranger], now_s=NOW_S), 0)
    assert (evidence.events, evidence.days, evidence.usual, evidence.hours) == (0, 0.0, {}, ())


def assert_same(one: UserHistory, other: UserHistory, events: Sequence[AuthEvent]) -> None:
    mine, theirs = (history.observe(events, now_s=NOW_S) for history in (one, other))
    # What was added and taken away again leaves rounding behind.
    assert mine.values == pytest.approx(theirs.values, rel=1e-12, abs=1e-12)
    assert np.array_equal(mine.late, theirs.late)
    assert np.array_equal(mine.duplicate, theirs.duplicate)
    assert mine.places == theirs.places


def test_a_restored_history_is_the_same(make: Make, stream: list[AuthEvent]) -> None:
    one, other = make(), make()
    run(one, stream[:1200], 100, learn_every=100)
    other.restore(one.snapshot())
    flagged = [stream[0].event_id, stream[1196].event_id]
    assert one.learn(flagged) == other.learn(flagged) == 2
    assert_same(one, other, stream[1100:])
    assert one.snapshot() == other.snapshot()


def test_a_bundle_holds_no_ids(make: Make) -> None:
    one, other = make(), make()
    events = [event("x"), event("y", 1)]
    one.observe(events, now_s=NOW_S)
    other.restore(one.snapshot(seen=False))
    assert not other.observe(events, now_s=NOW_S).duplicate.any()
    assert b"x" not in one.snapshot(seen=False)


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a snapshot", b"\x91\x01", b"\x98\x01"])
def test_nonsense_is_not_restored(make: Make, data: bytes) -> None:
    history = taught(make(), 3)
    with pytest.raises(HistoryError):
        history.restore(data)
    assert fact(history.observe([event("x")], now_s=NOW_S), "learned") == 3


def test_another_format_is_refused_by_its_number(make: Make) -> None:
    with pytest.raises(HistoryError, match=f"format 1, expected {SNAPSHOT_FORMAT}"):
        make().restore(b"\x93\x01\x80\x80")


def test_invented_names_displace_nobody(make: Make) -> None:
    history = make(most_users=3, most_strangers=4, most_addresses=3)
    for name in ("ana", "bo", "cy"):
        taught(history, 12, user_id=name, source_ip=f"192.0.2.{ord(name[0])}", country="DE")
    spray = [
        event(f"s{n}", n / 60, user_id=f"guess{n}", outcome="failure", source_ip=f"10.0.{n}.1")
        for n in range(100)
    ]
    history.observe(spray, now_s=NOW_S)
    history.learn(e.event_id for e in spray)
    back = [event(f"back {name}", 5, user_id=name, country="SG") for name in ("ana", "bo", "cy")]
    facts = history.observe(back, now_s=NOW_S)
    assert [fact(facts, "learned", row) for row in range(3)] == [12, 12, 12]
    assert all(fact(facts, "country_user_bits", row) > 2 for row in range(3))
    at_office = history.observe([event("o", 6, source_ip="192.0.2.97")], now_s=NOW_S)
    assert fact(at_office, "address_regulars") == 1


def test_everybody_who_works_from_an_address_counts(make: Make) -> None:
    history = make()
    for person in range(12):
        taught(history, 3, user_id=f"user{person}", source_ip="198.51.100.7")
    found = history.observe([event("now", source_ip="198.51.100.7")], now_s=NOW_S)
    assert fact(found, "address_regulars") == 12


def test_the_longest_silent_user_is_forgotten_first(make: Make) -> None:
    history = make(most_users=2)
    for name in ("ana", "bo"):
        taught(history, 12, user_id=name)
    history.observe([event("ana is active", user_id="ana")], now_s=NOW_S)
    taught(history, 12, user_id="cy")
    facts = history.observe([event(n, 1, user_id=n) for n in ("ana", "bo", "cy")], now_s=NOW_S)
    assert [fact(facts, "learned", row) for row in range(3)] == [12, 0, 12]


def test_memory_is_bounded(make: Make) -> None:
    history = make(
        most_users=5, most_strangers=5, most_addresses=5, most_pending=5, most_seen=5,
        most_devices=5, most_sessions=5, most_learned=5, user_values=4, tenant_values=4,
        user_limit=50.0,
    )  # fmt: skip
    sizes = []
    for start in range(0, 4000, 500):
        events = [
            event(f"{n:06}", n, user_id=f"u{n % 30:02}", device_id=f"{n:06}", country="DE",
                  source_ip=f"10.1.{n // 250}.{n % 250}")
            for n in range(start, start + 500)
        ]  # fmt: skip
        for at in range(0, 500, 5):
            history.observe(events[at : at + 5], now_s=NOW_S)
            history.learn(e.event_id for e in events[at : at + 5])
        sizes.append(len(history.snapshot()))
    assert max(sizes[2:]) < 1.1 * sizes[1] < 20_000


def test_a_spelling_of_an_address_is_not_another_address(make: Make) -> None:
    row = {"event_id": "a", "timestamp": "2026-11-02T09:00:00Z", "user_id": "ana",
           "outcome": "failure"}  # fmt: skip
    rows = [row | {"event_id": ip, "source_ip": ip} for ip in ("2001:DB8::1", "2001:db8:0::1")]
    events = decode_array(json.dumps(rows).encode(), now_s=NOW_S)
    facts = make().observe([e for e in events if isinstance(e, AuthEvent)], now_s=NOW_S)
    assert fact(facts, "address_failures_15m", 1) == 1.0


OWN: dict[str, Any] = {"device_id": "laptop", "source_ip": "192.0.2.1", "country": "DE"}
THEIRS: dict[str, Any] = {"device_id": "burner", "source_ip": "203.0.113.9", "country": "RU"}
ATTACK = event("attack", **THEIRS)
AGAIN = event("again", 60, **THEIRS)
DISPOSITIONS: tuple[Disposition, ...] = ("compromised", "safe", "benign_true")


def observed(history: UserHistory, *events: AuthEvent, learned: bool = True) -> UserHistory:
    history.observe(events, now_s=NOW_S)
    if learned:
        history.learn(e.event_id for e in events)
    return history


def test_a_history_that_heard_nothing_has_serial_0(make: Make) -> None:
    assert make().correct(()) == 0
    assert taught(make()).correct([]) == 0


def test_feedback_is_heard_in_order_and_once(make: Make) -> None:
    history = observed(taught(make(), **OWN), ATTACK, learned=False)
    safe, undone = Feedback(7, "safe", ATTACK), Feedback(9, None, ATTACK)
    assert history.correct([undone, safe]) == 9
    assert history.correct([safe]) == history.correct(()) == 9
    assert fact(history.observe([AGAIN], now_s=NOW_S), "country_user_bits") > 3


def test_what_an_attacker_does_is_marked_and_never_learned(make: Make) -> None:
    history = observed(taught(make(), **OWN), ATTACK)
    history.correct([Feedback(1, "compromised", ATTACK)])
    mine = event("mine", 61, **OWN)
    facts = history.observe([AGAIN, mine], now_s=NOW_S)
    assert facts.marked == [0]
    assert fact(facts, "learned", 1) == 20
    assert fact(facts, "country_user_bits") > 3
    assert history.learn(["again", "mine"]) == 1


def test_what_is_safe_becomes_usual(make: Make) -> None:
    history = observed(taught(make(), **OWN), ATTACK, learned=False)
    strange = fact(history.observe([event("b", 1, **THEIRS)], now_s=NOW_S), "country_user_bits")
    history.correct([Feedback(1, "safe", ATTACK)])
    assert fact(history.observe([AGAIN], now_s=NOW_S), "country_user_bits") < 2 < strange


def test_what_is_odd_and_harmless_teaches_nothing(make: Make) -> None:
    learned = observed(taught(make(), **OWN), ATTACK)
    never = observed(taught(make(), **OWN), ATTACK, learned=False)
    for history in (learned, never):
        history.correct([Feedback(1, "benign_true", ATTACK)])
        assert history.learn(["attack"]) == 0
    assert_same(learned, never, [AGAIN])


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_taken_back_it_is_as_if_nothing_was_said(
    make: Make, disposition: Disposition, learned: bool
) -> None:
    one, other = (observed(taught(make(), **OWN), ATTACK, learned=learned) for _ in range(2))
    one.correct([Feedback(1, disposition, ATTACK)])
    one.correct([Feedback(2, None, ATTACK)])
    assert one.learn(["attack"]) == other.learn(["attack"])
    mine, theirs = (each.observe([AGAIN], now_s=NOW_S) for each in (one, other))
    assert mine.marked == theirs.marked == []
    # Where an attacker was last seen is no origin of a journey any more, even so.
    names = [name for name in FACTS if not name.startswith("travel")]
    for name in names:
        assert fact(mine, name) == pytest.approx(fact(theirs, name), abs=1e-6), name


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("disposition", [*DISPOSITIONS, None])
def test_of_an_event_that_was_never_seen(
    make: Make, disposition: Disposition | None, whole: bool
) -> None:
    history = make()
    assert history.correct([Feedback(5, disposition, ATTACK, whole)]) == 5
    assert history.correct([Feedback(6, None, ATTACK, whole)]) == 6
    assert np.isfinite(history.observe([AGAIN], now_s=NOW_S).values).all()


def test_what_was_said_is_in_a_snapshot_but_in_no_bundle(make: Make) -> None:
    history = observed(taught(make(), **OWN), ATTACK)
    history.correct([Feedback(5, "compromised", ATTACK)])
    kept, bundled = make(), make()
    kept.restore(history.snapshot())
    bundled.restore(history.snapshot(seen=False))
    assert (kept.correct(()), bundled.correct(())) == (5, 0)
    assert kept.observe([AGAIN], now_s=NOW_S).marked == [0]
    assert bundled.observe([AGAIN], now_s=NOW_S).marked == []
    kept.correct([Feedback(6, None, ATTACK)])
    assert kept.learn(["attack"]) == 0
    assert kept.observe([event("later", 61, **THEIRS)], now_s=NOW_S).marked == []


def test_facts_do_not_depend_on_batch_size_after_feedback(
    make: Make, stream: list[AuthEvent]
) -> None:
    found = []
    for size in (1, 7, 1000):
        history = make()
        run(history, stream[:1200], size)
        history.correct([Feedback(n, DISPOSITIONS[n % 3], stream[100 * n]) for n in range(1, 12)])
        found.append(run(history, stream[1200:], size))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_no_more_waits_to_be_learned_than_allowed_however_often_something_is_taken_back(
    make: Make,
) -> None:
    history, names = make(most_pending=20), []
    for turn in range(5):
        attack = [
            event(f"{turn}-{n}", 30.0 * turn + n, **THEIRS | {"user_id": f"u{turn}"})
            for n in range(15)
        ]
        others = [event(f"{turn}+{n}", 30.0 * turn + n, user_id="other") for n in range(20)]
        observed(history, *attack, learned=False)
        history.correct([Feedback(2 * turn + 1, "compromised", attack[-1])])
        observed(history, *others, learned=False)
        history.correct([Feedback(2 * turn + 2, None, attack[-1])])
        names += [each.event_id for each in (*attack, *others)]
    assert history.learn(names) == 20
