"""What the labels promise: each type is abnormal against the user's own ordinary events."""

import math
import statistics
from collections import defaultdict
from datetime import datetime

import pytest

from preprocessing.geo import distance_km
from tuning.generate import Generated, generate
from tuning.synthetic.writer import Row

Labelled = list[tuple[Row, str]]


@pytest.fixture(scope="module")
def seedlike() -> Generated:
    return generate("seedlike", events=10_000, seed=11)


@pytest.fixture(scope="module")
def by_user(seedlike: Generated) -> dict[str, Labelled]:
    out: dict[str, Labelled] = defaultdict(list)
    for event, label in zip(seedlike.events, seedlike.labels, strict=True):
        out[str(event["user_id"])].append((event, str(label["anomaly_type"])))
    return out


def _time(event: Row) -> datetime:
    return datetime.fromisoformat(str(event["timestamp"]))


def _is(label: str, kind: str) -> bool:
    return kind in label.split("+")


def test_impossible_travel_is_too_fast_since_the_last_ordinary_event(
    by_user: dict[str, Labelled],
) -> None:
    for events in by_user.values():
        last: Row | None = None
        fresh = False
        for event, label in events:
            if label == "normal":
                known = "latitude" in event
                last, fresh = (event if known else None), known
            elif _is(label, "impossible_travel") and last is not None and fresh:
                fresh = False  # later events of one incident have had more time
                km = distance_km(
                    *(float(e[k]) for e in (last, event) for k in ("latitude", "longitude"))
                )
                hours = (_time(event) - _time(last)).total_seconds() / 3600
                assert km > 800
                assert hours < 0.1 or km / hours > 900


def test_large_transfers_exceed_the_users_own_scale(by_user: dict[str, Labelled]) -> None:
    ratios = []
    for events in by_user.values():
        sizes: dict[bool, list[float]] = {True: [], False: []}
        for event, label in events:
            moved = event["action"] == "transfer" and "bytes_transferred" in event
            if moved and (label == "normal" or _is(label, "large_data_transfer")):
                size = math.log(float(event["bytes_transferred"]) + 1)
                sizes[label != "normal"].append(size)
        usual = sizes[False]
        if len(usual) > 8 and sizes[True]:
            ratios.append(min(sizes[True]) - statistics.median(usual))
    assert min(ratios) > math.log(3)
    assert statistics.median(ratios) > math.log(6)


def test_unusual_resources_are_used_by_others_not_by_the_user(
    seedlike: Generated, by_user: dict[str, Labelled]
) -> None:
    ordinary = {
        e.get("resource") for events in by_user.values() for e, x in events if x == "normal"
    }
    for events in by_user.values():
        own = {event.get("resource") for event, label in events if label == "normal"}
        strange = {e["resource"] for e, label in events if _is(label, "unusual_resource_access")}
        assert not strange & own
        assert strange <= ordinary


def test_failures_come_in_bursts(by_user: dict[str, Labelled]) -> None:
    for events in by_user.values():
        for event, label in events:
            if label == "multiple_failed_logins" and event["outcome"] == "success":
                before = [
                    e
                    for e, x in events
                    if x == label and 0 < (_time(event) - _time(e)).total_seconds() < 1200
                ]
                assert len(before) >= 4


def test_off_hours_are_hours_without_ordinary_sign_ins(by_user: dict[str, Labelled]) -> None:
    gaps = []
    for events in by_user.values():
        usual = [
            _hour(event)
            for event, label in events
            if label == "normal" and event["auth_kind"] == "interactive"
        ]
        if len(usual) < 40:
            continue
        strange = [_hour(event) for event, label in events if _is(label, "off_hours_login")]
        gaps += [sum(_apart(hour, other) < 1 for other in usual) / len(usual) for hour in strange]
    # travellers keep the hours of the place they are in, so a few ordinary events are near
    assert statistics.mean(gaps) < 0.02


def _hour(event: Row) -> float:
    return _time(event).timestamp() / 3600 % 24


def _apart(a: float, b: float) -> float:
    return min(abs(a - b), 24 - abs(a - b))


def test_nothing_but_the_past_gives_an_anomaly_away(seedlike: Generated) -> None:
    """No network, country, city, browser or resource that only intruders have."""
    flags = [int(label["is_anomaly"]) for label in seedlike.labels]
    for column in ("asn", "country", "city", "user_agent", "resource"):
        seen = {
            flag: {e.get(column) for e, f in zip(seedlike.events, flags, strict=True) if f == flag}
            for flag in (0, 1)
        }
        alone = [
            event
            for event, flag in zip(seedlike.events, flags, strict=True)
            if flag and event.get(column) not in seen[0]
        ]
        assert len(alone) < 0.12 * sum(flags), column
