import numpy as np
import pytest

from preprocessing import changes
from preprocessing.changes import CHANGES, COLUMNS, IMMUTABLE, change_of, changed
from preprocessing.history import CATEGORIES, FACTS


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_belongs_to_one_change_or_is_immutable(fact: str) -> None:
    """A new fact must be listed in preprocessing/changes.py: could it have been otherwise?"""
    change = change_of(fact)
    assert (change is None) != (change in CHANGES)
    listed = [of for of in CHANGES if FACTS.index(fact) in COLUMNS[of]]
    assert listed == ([] if change is None else [change])


def test_what_is_listed_exists() -> None:
    listed = set(IMMUTABLE).union(*changes._OTHERS.values())
    assert listed <= set(FACTS)
    assert set(changes.CATEGORY_CHANGES) == set(CATEGORIES)


def test_an_unlisted_fact_is_refused() -> None:
    with pytest.raises(KeyError, match="moon_phase belongs to no change"):
        change_of("moon_phase")


def test_who_it_was_how_it_ended_and_what_came_before_stay() -> None:
    """Whatever is changed: outcome, failures before it, and how much was known of the user."""
    after = changed(np.zeros(len(FACTS)), np.ones(len(FACTS)), CHANGES)
    kept = {fact for fact, value in zip(FACTS, after, strict=True) if value == 0.0}
    assert {"success", "user_failures_15m", "mfa_denials_15m", "learned", "gap_s"} <= kept
    assert kept == set(IMMUTABLE) | {"kind_user_bits", "kind_peer_bits", "kind_tenant_bits"}


def test_a_change_replaces_its_own_facts_only() -> None:
    before = np.arange(len(FACTS), dtype=float)
    after = changed(before, before + 100.0, ["size"])
    moved = {FACTS[at] for at in np.flatnonzero(after != before)}
    assert moved == {"bytes", "bytes_user_dev", "bytes_tenant_dev", "bytes_drift_dev"}
