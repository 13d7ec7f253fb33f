"""Summaries: what they count, how they forget, and that they stay small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.baseline import (
    Decaying,
    Firsts,
    Places,
    Rhythm,
    Scale,
    clock,
)
from preprocessing.geo import GEO_ACCURACY_KM, distance_km

LIMIT = 512.0
COORDINATES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def test_a_count_fades() -> None:
    count = Decaying()
    count.add(1.0, 1000.0, 100.0)
    count.add(1.0, 1000.0, 100.0)
    assert count.read(1000.0, 100.0) == 2.0
    assert count.read(1100.0, 100.0) == pytest.approx(2 / 2.718281828)
    assert count.read(0.0, 100.0) == 2.0


def test_counts_commute() -> None:
    one, other = Decaying(), Decaying()
    for at_s in (1000.0, 1050.0, 1200.0):
        one.add(1.0, at_s, 100.0)
    for at_s in (1200.0, 1000.0, 1050.0):
        other.add(1.0, at_s, 100.0)
    assert one.read(1300.0, 100.0) == pytest.approx(other.read(1300.0, 100.0))


def test_first_sightings_have_a_rate() -> None:
    assert Firsts().rate() == 0.5
    assert Firsts(98.0, 1.0).rate() == 0.02


def test_a_scale_knows_mean_and_spread() -> None:
    scale = Scale()
    for value in (9.0, 10.0, 11.0, 10.0):
        scale.learn(value, LIMIT)
    assert scale.mean == 10.0
    assert scale.deviations(10.0, Scale()) == 0.0
    assert scale.deviations(9.0, Scale()) == 0.0
    assert scale.deviations(20.0, scale) == pytest.approx(10 / 0.5**0.5)


def test_one_extreme_amount_is_not_the_new_normal() -> None:
    scale = Scale()
    for value in [10.0] * 20 + [40.0]:
        scale.learn(value, LIMIT)
    assert scale.mean < 10.1
    assert scale.deviations(40.0, scale) > 20


def test_without_a_baseline_any_amount_is_usual() -> None:
    assert Scale().deviations(40.0, Scale()) == 0.0


def hour_bits(rhythm: Rhythm, hour: float, prior: Rhythm) -> float:
    return rhythm.bits(hour, 0, prior, prior.as_rare(hour))[0]


def test_a_night_worker_is_not_odd_at_night() -> None:
    night, day = Rhythm(), Rhythm()
    for n in range(60):
        night.learn(2.0 + n % 3 / 2, n % 7, LIMIT)
        day.learn(10.0 + n % 3 / 2, n % 7, LIMIT)
    assert hour_bits(night, 2.5, day) == 0.0
    assert hour_bits(day, 2.5, day) > 3
    assert hour_bits(day, 10.5, day) == 0.0


def test_midnight_is_no_border() -> None:
    late = Rhythm()
    for n in range(60):
        late.learn(23.9, n % 7, LIMIT)
    assert sum(late.hours) == pytest.approx(60)
    assert hour_bits(late, 0.1, Rhythm()) == 0.0


def test_who_works_at_all_hours_is_odd_at_none() -> None:
    always = Rhythm()
    for n in range(240):
        always.learn(float(n % 24), n % 7, LIMIT)
        always.learn(10.0, n % 7, LIMIT)
    assert max(hour_bits(always, float(hour), Rhythm()) for hour in range(24)) < 2


def test_the_edge_of_a_working_day_is_less_odd_than_the_night() -> None:
    early = Rhythm()
    for n in range(60):
        early.learn(9.0, n % 5, LIMIT)
    edge, night = (hour_bits(early, hour, early) for hour in (11.0, 15.0))
    assert edge < night / 2


def test_a_burst_is_one_decision_to_work() -> None:
    often, once = Rhythm(), Rhythm()
    for n in range(8):
        often.learn(3.0, 0, LIMIT, 0.5 ** (1 + n) if n else 1.0)
    once.learn(3.0, 0, LIMIT)
    assert often.weight < 2 * once.weight
    assert sum(often.hours) == pytest.approx(often.weight)


def test_a_rhythm_forgets() -> None:
    rhythm = Rhythm()
    for n in range(2000):
        rhythm.learn(9.0 if n < 1000 else 21.0, 0, 100.0)
    assert rhythm.weight <= 100
    assert rhythm.hours[9] < 0.1


@given(st.floats(946_684_800, 4e9))
def test_any_clock(at_s: float) -> None:
    hour, day = clock(at_s)
    assert 0 <= hour < 24
    assert 0 <= day < 7


def test_a_place_is_near_or_far() -> None:
    places = Places()
    assert places.distance_km(52.5, 13.4) == 0.0
    places.learn(52.5, 13.4, 8)
    assert places.distance_km(52.6, 13.5) == 0.0
    assert places.distance_km(48.1, 11.6) == pytest.approx(404, abs=2)


def test_the_least_visited_place_is_forgotten() -> None:
    places = Places()
    for latitude in (0.0, 0.0, 20.0, 40.0, 40.0, 60.0):
        places.learn(latitude, 0.0, 3)
    assert [(lat, weight) for lat, _, weight in places.known] == [(0, 2), (40, 2), (60, 1)]


@given(COORDINATES, st.lists(COORDINATES, max_size=4))
def test_shortcuts_change_no_distance(
    here: tuple[float, float], known: list[tuple[float, float]]
) -> None:
    places = Places(known=[(*place, 1.0) for place in known])
    nearest = min((distance_km(*here, *place) for place in known), default=0.0)
    assert places.distance_km(*here) == pytest.approx(max(0.0, nearest - GEO_ACCURACY_KM))


@given(COORDINATES, st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_the_same_place_is_within_50_km(
    here: tuple[float, float], away: tuple[float, float]
) -> None:
    there = (max(-90.0, min(90.0, here[0] + away[0])), here[1] + away[1])
    places = Places(known=[(*here, 1.0)])
    places.learn(*there, 8)
    assert (len(places.known) == 1) == (distance_km(*here, *there) < 50.0)
