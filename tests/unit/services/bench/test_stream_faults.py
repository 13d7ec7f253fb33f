"""What is counted of a run between a topic and a store, and what is compared of two."""

import numpy as np
import pytest

from preprocessing.event import AuthEvent, decode_items
from services.bench.accounts import Account, Times
from services.bench.stream_faults import FAULTS, Disturbed, Probe, compare, poisoned
from services.bench.stream_table import disturbed_table
from services.bench.subject import BenchError

EVENT = b'{"event_id":"e","timestamp":"2026-11-02T09:00:00Z","user_id":"ann","outcome":"success"}'


def test_one_in_a_hundred_is_poison_and_no_two_are_alike() -> None:
    found = list(poisoned(iter([EVENT] * 1000)))
    bad = [each for each in found if each != EVENT]
    assert (len(found), len(bad), len(set(bad))) == (1010, 10, 10)
    assert not any(isinstance(each, AuthEvent) for each in decode_items(bad, now_s=4e9))


def test_what_is_neither_stored_nor_dead_is_lost() -> None:
    count = Account(sent=10, scored=8, published=9, stored=8, dead=1, duplicated=0)
    assert (count.lost, count.fits) == (1, False)
    assert Account(sent=10, scored=9, published=9, stored=9, dead=1, duplicated=0).fits
    assert not Account(sent=10, scored=9, published=9, stored=9, dead=1, duplicated=1).fits


def test_scores_of_the_same_probes_are_compared() -> None:
    before = {"a": Probe(0.5, False), "b": Probe(0.9, False), "c": Probe(0.1, False)}
    after = {"a": Probe(0.5, False), "b": Probe(0.999, True), "d": Probe(0.7, False)}
    found = compare(before, after)
    assert (found.probes, found.different, found.flipped) == (2, 1, 1)
    assert found.most == pytest.approx(0.099)
    with pytest.raises(BenchError, match="no probe"):
        compare(before, {})


def test_rate_and_lag_are_of_sending_and_publishing() -> None:
    times = Times(np.array([0, 100, 200]), np.array([1000, 1200, 2000]))
    assert times.events_per_s == pytest.approx(3.0)
    assert (times.lag.p50, times.lag.max) == (1100, 1800)


def test_a_run_that_could_not_be_counted_has_its_line() -> None:
    table = disturbed_table([Disturbed(FAULTS[1].what, failed="stuck")])
    assert table.row_count == 1
