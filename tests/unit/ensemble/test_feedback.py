"""Feedback through the whole pipeline in one process: what it does to verdicts to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import pytest

from ensemble.scorer import Scorer
from ensemble.verdict import Verdict
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.feedback import Disposition, Feedback

NOW_S = 4e9


def at(event: AuthEvent, name: str, **change: object) -> AuthEvent:
    changed: AuthEvent = msgspec.structs.replace(event, event_id=name, **change)
    return changed


def scored(scorer: Scorer, *events: AuthEvent) -> list[Verdict]:
    return [verdict for one in events for verdict in scorer.score([one], now_s=NOW_S)]


@pytest.fixture
def scorer(bundle: Bundle) -> Scorer:
    return Scorer(bundle)


@pytest.fixture
def usual(training_events: list[AuthEvent], scorer: Scorer) -> AuthEvent:
    """An event as its user often makes it, two weeks after the training."""
    last = max(event.timestamp for event in training_events)
    ((user, _),) = Counter(event.user_id for event in training_events).most_common(1)
    mine = [one for one in training_events if one.user_id == user and one.outcome == "success"]
    common = Counter((one.device_id, one.source_ip) for one in mine if one.action == "login")
    ((device, address), _) = common.most_common(1)[0]
    like = next(one for one in mine if (one.device_id, one.source_ip) == (device, address))
    days = (last - like.timestamp).days // 7 * 7 + 14
    return at(like, "usual", timestamp=like.timestamp + timedelta(days=days), session_id=None)


@pytest.fixture
def odd(usual: AuthEvent) -> AuthEvent:
    """The same from elsewhere, with another machine."""
    return at(
        usual, "odd", timestamp=usual.timestamp + timedelta(days=1), device_id="unheard of",
        source_ip="203.0.113.77", country="NZ", city="Wellington", latitude=-41.3,
        longitude=174.8, asn=64500, user_agent="curl/8.0", resource="vault",
        auth_method="password", mfa=False, failed_attempts=8,
    )  # fmt: skip


def later(event: AuthEvent, days: float, name: str = "later") -> AuthEvent:
    return at(event, name, timestamp=event.timestamp + timedelta(days=days))


def say(scorer: Scorer, serial: int, what: Disposition | None, about: AuthEvent) -> None:
    assert scorer.history.correct([Feedback(serial, what, about)]) == serial


def test_without_feedback_the_same_again_alarms(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    quiet, *loud = scored(scorer, usual, odd, later(odd, 1, "a"), later(odd, 2, "b"))
    assert not quiet.is_anomaly
    assert [one.is_anomaly for one in loud] == [True] * 3


def test_safe_makes_the_same_again_quiet_until_taken_back(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    scored(scorer, usual, odd)
    say(scorer, 1, "safe", odd)
    (again,) = scored(scorer, later(odd, 7))
    assert not again.is_anomaly
    say(scorer, 2, "benign_true", later(odd, 7))  # nor is that one learned
    say(scorer, 3, None, odd)
    (undone,) = scored(scorer, later(odd, 14, "undone"))
    assert undone.is_anomaly


def test_compromised_keeps_the_attacker_suspicious(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    """From the attacker's device even what would be ordinary is flagged and never learned."""
    plain = at(later(usual, 8), "plain", device_id="unheard of")
    own = at(later(usual, 8), "own")
    scored(scorer, usual, odd)
    say(scorer, 1, "compromised", odd)
    theirs, mine = scored(scorer, plain, own)
    assert (theirs.is_anomaly, theirs.severity) == (True, "high")
    assert theirs.reasons[0].code == "known_attacker"
    assert theirs.score > theirs.threshold
    assert not mine.is_anomaly
    assert scorer.history.learn(["plain", "odd"]) == 0


def test_benign_true_leaves_the_judgement_as_it_is(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    _, first = scored(scorer, usual, odd)
    say(scorer, 1, "benign_true", odd)
    (again,) = scored(scorer, later(odd, 7))
    assert again.is_anomaly
    assert again.reasons[0].code == first.reasons[0].code


def test_waiting_below_the_threshold_does_not_open_the_door(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    """An attacker who has only the device at first, then the network, then the place, taking a
    week for each step, is flagged at the latest when everything comes together and something is
    taken; and then nothing of that last step is learned."""
    steps: list[Callable[[AuthEvent], AuthEvent]] = [
        lambda one: at(one, one.event_id, device_id=odd.device_id),
        lambda one: at(one, one.event_id, device_id=odd.device_id, user_agent=odd.user_agent),
    ]
    scored(scorer, usual)
    for week, step in enumerate(steps):
        scored(scorer, *(step(later(usual, 1 + week, f"{week}-{n}")) for n in range(2)))
    (strike,) = scored(scorer, at(later(odd, 5), "strike", bytes_transferred=50_000_000))
    assert strike.is_anomaly
    assert scorer.history.learn(["strike"]) == 1  # it was waiting, not learned


def test_a_burst_in_one_batch_teaches_only_what_is_not_flagged(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    """A batch learns after all its verdicts: odd events in it cannot vouch for each other."""
    scored(scorer, usual)
    burst = [later(odd, n / 1440, f"b{n}") for n in range(50)]
    verdicts = scorer.score(burst, now_s=NOW_S)
    assert all(one.is_anomaly for one in verdicts)
    (after,) = scored(scorer, later(odd, 1, "after"))
    assert after.is_anomaly


def attackers(odd: AuthEvent, names: int, events: int) -> Sequence[AuthEvent]:
    return [
        at(odd, f"{name}-{n}", user_id=f"invented{name}",
           timestamp=odd.timestamp + timedelta(minutes=20 * n))
        for n in range(events) for name in range(names)
    ]  # fmt: skip


def test_invented_users_do_not_vouch_for_an_address(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    """Learning mode for invented names: their events do not make a place, a device or an address
    usual for anybody else; nor does the address become an office."""
    scored(scorer, usual, *attackers(odd, names=8, events=3))
    (strike,) = scored(scorer, later(odd, 2, "strike"))
    assert strike.is_anomaly


def test_who_was_long_away_says_so_and_teaches_nothing_flagged(
    scorer: Scorer, usual: AuthEvent, odd: AuthEvent
) -> None:
    scored(scorer, usual)
    (first,) = scored(scorer, later(odd, 200))
    assert first.learning
    assert first.is_anomaly
    (again,) = scored(scorer, later(odd, 201, "again"))
    assert (again.learning, again.is_anomaly) == (True, True)
    (back,) = scored(scorer, later(usual, 203, "back"))
    assert (back.learning, back.is_anomaly) == (True, False)
