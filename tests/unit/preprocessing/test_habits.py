"""Values by which somebody is known: what they count, how they forget, and that they stay small."""

from __future__ import annotations

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.habits import Habits, key_of, keys_of
from preprocessing.history import CATEGORIES

LIMIT = 512.0
COUNTRY, RESOURCE, AGENT, DEVICE = (
    CATEGORIES.index(name) for name in ("country", "resource", "agent", "device")
)


def values(**named: str) -> tuple[str | None, ...]:
    return tuple(named.get(name) for name in CATEGORIES)


def learn(habits: Habits, field: int, value: str, times: int = 1) -> None:
    for _ in range(times):
        habits.learn(field, key_of(value), value, LIMIT, 64)


def countries(**counts: int) -> Habits:
    habits = Habits()
    for value, count in counts.items():
        learn(habits, COUNTRY, value, count)
    return habits


def rarity(habits: Habits, value: str, prior: float = 1.0) -> float:
    priors = [prior] * len(CATEGORIES)
    return habits.rarities(keys_of(values(country=value)), priors, [])[COUNTRY]


def fresh(habits: Habits, *shown: str | None) -> list[int]:
    found: list[int] = []
    habits.rarities(keys_of(shown), [1.0] * len(CATEGORIES), found)
    assert habits.fresh(keys_of(shown)) == found
    return found


def test_to_nobody_anything_is_surprising() -> None:
    priors = [1.0] * len(CATEGORIES)
    assert rarity(Habits(), "DE") == 0.0
    assert countries(DE=10).rarities(keys_of(values()), priors, []) == [0.0] * len(CATEGORIES)


def test_what_is_no_habit_yet() -> None:
    habits = countries(DE=9, FR=1)
    learn(habits, DEVICE, "laptop", 2)
    shown = values(country="FR", device="laptop", resource="new")
    assert fresh(habits, *shown) == [COUNTRY, RESOURCE]


def test_to_a_newcomer_no_way_of_access_is_a_habit() -> None:
    for count, expected in ((9, [AGENT]), (10, [])):
        habits = Habits()
        learn(habits, AGENT, "curl", count)
        assert fresh(habits, *values(agent="curl")) == expected


def test_rare_values_cost_bits() -> None:
    habits = countries(DE=30, FR=2)
    assert rarity(habits, "DE") == 0.0
    assert rarity(habits, "FR") == log2(16 / 2)


def test_new_values_cost_less_to_those_who_often_bring_some() -> None:
    steady, restless = countries(DE=20), countries(**{f"c{n}": 1 for n in range(20)})
    assert rarity(steady, "new") == log2(24 / 2)
    assert rarity(restless, "new") == pytest.approx(log2(24 / 21))
    assert rarity(steady, "new", prior=3.0) < rarity(steady, "new", prior=0.1)


def test_they_halve_and_drop_what_is_rare() -> None:
    habits = countries(DE=500, FR=1, IT=1)
    learn(habits, DEVICE, "laptop")
    learn(habits, COUNTRY, "IT")
    learn(habits, COUNTRY, "DE", 10)
    assert habits.items(COUNTRY) == [("DE", 255.0), ("FR", 0.5), ("IT", 1.0)]
    assert habits.weight(COUNTRY) == 256.5
    assert habits.top(COUNTRY) == ("DE", 255.0)
    assert habits.items(DEVICE) == [("laptop", 1.0)]
    assert habits.top(AGENT) is None


def test_what_is_forgotten_is_as_if_it_had_never_been() -> None:
    habits = countries(DE=2, FR=1)
    learn(habits, DEVICE, "laptop")
    assert not habits.forget(COUNTRY, "DE")
    assert habits.forget(COUNTRY, "FR")
    assert habits.forget(COUNTRY, "IT")
    assert habits.items(COUNTRY) == [("DE", 1.0)]
    assert (habits.firsts(COUNTRY), habits.count(DEVICE, "laptop")) == (1.0, 1.0)
    assert not habits.knows(COUNTRY, "FR")


#: A field, and what was seen there: few names, so that most come again.
SIGHTINGS = st.lists(st.tuples(st.integers(0, len(CATEGORIES) - 1), st.integers(0, 12)))


@given(SIGHTINGS, st.floats(3.0, 40.0), st.integers(2, 8))
def test_they_count_as_one_dictionary_per_field_would(
    sightings: list[tuple[int, int]], limit: float, most: int
) -> None:
    habits = Habits()
    expected: list[dict[str, float]] = [{} for _ in CATEGORIES]
    for field, number in sightings:
        value, counts = f"value-{number}", expected[field]
        first = value not in counts
        assert habits.learn(field, key_of(value), value, limit, most) is first
        counts[value] = counts.get(value, 0.0) + 1.0
        if habits.weight(field) < sum(counts.values()):  # halved
            halved = {name: count / 2 for name, count in counts.items() if count >= 1.0}
            kept = sorted(halved, key=halved.__getitem__)[-most // 2 :]
            expected[field] = halved if len(halved) <= most else {n: halved[n] for n in kept}
        assert len(expected[field]) <= most
        assert habits.weight(field) <= limit
        assert habits.weight(field) == sum(expected[field].values())
    for field, counts in enumerate(expected):
        assert habits.items(field) == list(counts.items())


def test_a_value_has_one_key_and_its_absence_none() -> None:
    assert key_of(None) == 0 != key_of("")
    assert key_of("laptop") == key_of("laptops"[:-1]) != key_of("phone")
