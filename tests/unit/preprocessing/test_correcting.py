"""What feedback does to a history (preprocessing/correcting.py), and how it is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.feedback import AFTER_S, SAFE_WEIGHT, Disposition, Feedback
from preprocessing.history import DAY_S, FACTS, Facts, HistorySettings
from preprocessing.journal import JournaledHistory

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
NOW_S = START.timestamp()
HOME: dict[str, Any] = {
    "device_id": "laptop",
    "source_ip": "192.0.2.1",
    "country": "DE",
    "resource": "mail",
}
THEIRS: dict[str, Any] = {
    "device_id": "burner",
    "source_ip": "203.0.113.9",
    "country": "RU",
    "resource": "vault",
}


def event(name: str, minutes: float = 0.0, **fields: Any) -> AuthEvent:
    at = START + timedelta(minutes=minutes)
    return AuthEvent(at, **{"user_id": "ana", "outcome": "success", "event_id": name} | fields)


def at_home(days: int = 20) -> list[AuthEvent]:
    return [event(f"home{day}", day * 1440.0, **HOME) for day in range(-days, 0)]


def fact(facts: Facts, name: str, row: int = 0) -> float:
    return float(facts.values[row, FACTS.index(name)])


def seen(history: Any, events: Sequence[AuthEvent], *, learned: bool = True) -> Facts:
    facts: Facts = history.observe(events, now_s=NOW_S)
    if learned:
        history.learn(one.event_id for one in events)
    return facts


def said(serial: int, disposition: Disposition | None, about: AuthEvent) -> Feedback:
    return Feedback(serial, disposition, about)


@pytest.fixture
def history() -> EmbeddedHistory:
    history = EmbeddedHistory()
    seen(history, at_home())
    return history


STOLEN = [event(f"stolen{n}", n, **THEIRS) for n in range(3)]


def test_what_an_attacker_taught_is_taken_out_again(history: EmbeddedHistory) -> None:
    before = fact(seen(history, [event("p", 5, **THEIRS)], learned=False), "device_user_bits")
    seen(history, STOLEN)
    assert (
        fact(seen(history, [event("q", 6, **THEIRS)], learned=False), "device_user_bits") < before
    )
    history.correct([said(1, "compromised", STOLEN[1])])
    after = seen(history, [event("r", 7, **THEIRS)], learned=False)
    assert fact(after, "device_user_bits") == pytest.approx(before)
    assert fact(after, "learned") == 20


def test_counts_are_what_they_were() -> None:
    """Nothing was halved: taking out leaves the baselines as if it had never been learned."""
    bare, taught = EmbeddedHistory(), EmbeddedHistory()
    for one in (bare, taught):
        seen(one, [*at_home(), event("bo", -60, user_id="bo", **HOME)])
        seen(one, STOLEN, learned=one is taught)
    taught.correct([said(1, "compromised", STOLEN[0])])
    bare.correct([said(1, "compromised", STOLEN[0])])
    probe = [event("x", 100, **THEIRS), event("y", 101, **HOME), event("z", 102, user_id="bo")]
    found, expected = (seen(one, probe, learned=False).values for one in (taught, bare))
    assert found == pytest.approx(expected, abs=1e-3)


def test_an_attacker_stays_marked_and_is_never_learned(history: EmbeddedHistory) -> None:
    history.correct([said(1, "compromised", STOLEN[0])])
    again = [
        event("device", 60, device_id="burner"),
        event("address", 61, source_ip="203.0.113.9"),
        event("own", 62, **HOME),
        event("other", 63, user_id="bo", device_id="burner"),
        event("later", AFTER_S / 60 + 1, device_id="burner"),
    ]
    assert list(seen(history, again, learned=False).marked) == [0, 1]
    assert history.learn(one.event_id for one in again) == 3


def test_what_was_the_users_own_before_is_not_the_attackers(history: EmbeddedHistory) -> None:
    """A session was stolen from the user's own laptop: the session is theirs, the laptop not."""
    history.correct([said(1, "compromised", event("s", 0, **HOME, session_id="stolen"))])
    again = [event("a", 1, **HOME), event("b", 2, **HOME, session_id="stolen")]
    assert list(seen(history, again, learned=False).marked) == [1]


def test_an_office_address_is_nobodys() -> None:
    history = EmbeddedHistory(HistorySettings(egress_users=3, learning_events=1))
    office = [event(f"{n}", -n, user_id=f"u{n}", source_ip="198.51.100.1") for n in range(4)]
    seen(history, office)
    history.correct([said(1, "compromised", event("s", source_ip="198.51.100.1", device_id="d"))])
    again = [event("a", 1, source_ip="198.51.100.1"), event("b", 2, device_id="d")]
    assert list(seen(history, again, learned=False).marked) == [1]


def test_taken_back_everything_is_as_before(history: EmbeddedHistory) -> None:
    seen(history, STOLEN)
    probe = event("p", 30, **THEIRS)
    before = seen(history, [probe], learned=False).values
    history.correct([said(1, "compromised", STOLEN[0]), said(2, None, STOLEN[0])])
    again = seen(history, [probe], learned=False)
    assert list(again.marked) == []
    assert fact(again, "device_user_bits") == pytest.approx(
        float(before[0, FACTS.index("device_user_bits")])
    )
    assert fact(again, "learned") == 23


@pytest.mark.parametrize("known", ["pending", "unknown", "learned"])
def test_safe_makes_a_habit_however_the_event_is_known(known: str) -> None:
    history = EmbeddedHistory()
    seen(history, at_home())
    odd = event("odd", **THEIRS)
    if known != "unknown":
        seen(history, [odd], learned=known == "learned")
    history.correct([said(1, "safe", odd)])
    again = seen(history, [event("again", 5, **THEIRS)], learned=False)
    assert fact(again, "learned") == 20 + SAFE_WEIGHT
    assert fact(again, "device_user_bits") < 1.5
    history.correct([said(2, None, odd)])
    undone = seen(history, [event("undone", 6, **THEIRS)], learned=False)
    assert fact(undone, "learned") == (21 if known == "learned" else 20)
    assert fact(undone, "device_user_bits") > 3


def test_safe_takes_along_what_was_flagged_like_it(history: EmbeddedHistory) -> None:
    like = [event("like", 5, device_id="burner"), event("unlike", 6, device_id="else")]
    late = [event("next week", 8 * 1440.0, device_id="burner")]
    seen(history, [*STOLEN[:1], *like, *late], learned=False)
    history.correct([said(1, "safe", STOLEN[0])])
    assert history.learn(["like", "unlike", "next week"]) == 2


def test_safe_learns_nothing_of_half_an_event(history: EmbeddedHistory) -> None:
    history.correct([Feedback(1, "safe", event("odd", source_ip="203.0.113.9"), whole=False)])
    assert fact(seen(history, [event("x", 1)], learned=False), "learned") == 20


def test_benign_true_teaches_nothing(history: EmbeddedHistory) -> None:
    pen_test = event("pen", **THEIRS)
    seen(history, [pen_test])
    history.correct([said(1, "benign_true", pen_test)])
    again = seen(history, [event("x", 1, **THEIRS)], learned=False)
    assert (fact(again, "learned"), list(again.marked)) == (20, [])
    waits = event("waits", 2, **THEIRS)
    seen(history, [waits], learned=False)
    history.correct([said(2, "benign_true", waits)])
    assert history.learn(["waits"]) == 0


def test_the_last_word_counts(history: EmbeddedHistory) -> None:
    odd = event("odd", **THEIRS)
    seen(history, [odd], learned=False)
    history.correct([said(1, "compromised", odd)])
    history.correct([said(2, "safe", odd)])
    again = seen(history, [event("again", 5, **THEIRS)], learned=False)
    assert (fact(again, "learned"), list(again.marked)) == (20 + SAFE_WEIGHT, [])


def test_said_again_it_changes_nothing(history: EmbeddedHistory) -> None:
    odd = said(7, "safe", event("odd", **THEIRS))
    assert history.correct([odd]) == 7
    before = history.snapshot()
    assert history.correct([odd, said(3, None, odd.event)]) == 7
    assert history.snapshot() == before


def test_a_user_whose_every_event_is_taken_out_is_a_stranger_again() -> None:
    history = EmbeddedHistory()
    seen(history, [*at_home(), event("m", 0, user_id="mallory", **THEIRS)])
    history.correct([said(1, "compromised", event("m", 0, user_id="mallory", **THEIRS))])
    facts = seen(history, [event("n", 90 * 1440.0, user_id="mallory")], learned=False)
    assert fact(facts, "learned") == 0
    assert facts.learning.tolist() == [True]


def test_a_restart_and_a_new_base_keep_it(tmp_path: Path) -> None:
    given = [said(5, "compromised", STOLEN[0]), said(6, "safe", event("odd", **HOME))]
    kept = JournaledHistory(tmp_path / "a")
    seen(kept, at_home())
    seen(kept, STOLEN)
    kept.correct(given)
    kept.flush()
    probe = [event("p", 10, **THEIRS), event("q", 11, **HOME)]
    kept._directory.close()  # as a process that was killed leaves it
    back = JournaledHistory(tmp_path / "a")
    assert back.correct(()) == 6
    after = seen(back, probe, learned=False)
    assert (list(after.marked), fact(after, "learned")) == ([0], 20 + SAFE_WEIGHT)
    back.close()
    anew = JournaledHistory(tmp_path / "b", base=EmbeddedHistory().snapshot(seen=False))
    assert anew.correct(()) == 0
    anew.correct(given)
    assert list(seen(anew, probe, learned=False).marked) == [0]
    anew.close()


def test_what_is_kept_for_taking_out_is_bounded() -> None:
    history = EmbeddedHistory(HistorySettings(most_learned=2))
    seen(history, [*at_home(), *STOLEN])
    history.correct([said(1, "compromised", STOLEN[0])])
    assert fact(seen(history, [event("x", 5)], learned=False), "learned") == 21


def test_who_was_long_away_is_in_learning_mode_again(history: EmbeddedHistory) -> None:
    """Told openly; and what is flagged then is not learned, unlike a newcomer's."""
    day = 1440.0
    there = seen(history, [event("soon", 170 * day, **HOME)], learned=False)
    assert (there.learning.tolist(), list(there.returned)) == ([False], [])
    back = [event(f"back{n}", (360 + n) * day, **HOME) for n in range(10)]
    for one in back:
        facts = seen(history, [one])
        assert (facts.learning.tolist(), list(facts.returned)) == ([True], [0])
    facts = seen(history, [event("settled", 371 * day, **HOME)])
    assert (facts.learning.tolist(), list(facts.returned)) == ([False], [])
    assert history.settings.dormant_s == 180 * DAY_S
