"""Snapshots of the format before this one."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.history import CATEGORIES, HistorySettings
from preprocessing.snapshots import SNAPSHOT_FORMAT
from tests.unit.preprocessing.fortnight import fortnight

NOW_S = 1e9
_FIELDS = len(CATEGORIES)
#: Numbers of a baseline before those of its values.
_BEFORE = 54


def of_format_11(baseline: list[Any]) -> list[Any]:
    """As format 11 wrote a baseline: counts by value for each field, its weight and firsts."""
    doubles, names, places, peers = baseline
    numbers = struct.unpack(f"<{len(doubles) // 8}d", doubles)
    values = numbers[_BEFORE:]
    weights, firsts, ends = (values[begin : begin + _FIELDS] for begin in (0, _FIELDS, 2 * _FIELDS))
    counts = values[3 * _FIELDS :]
    pairs = [number for pair in zip(weights, firsts, strict=True) for number in pair]
    before = [*numbers[:_BEFORE], *pairs]
    begins = [0, *map(int, ends)]
    fields = [
        dict(zip(names[begin:end], counts[begin:end], strict=True))
        for begin, end in pairwise(begins)
    ]
    return [struct.pack(f"<{len(before)}d", *before), fields, places, peers]


def older(snapshot: bytes) -> bytes:
    """A snapshot in which everybody is awake, as format 11 had it."""
    parts = msgspec.msgpack.decode(snapshot)
    assert parts[0] == SNAPSHOT_FORMAT == 12
    parts[0] = 11
    for users in parts[1:3]:
        for user in users.values():
            user[2] = of_format_11(user[2]) if user[2] is not None else None
    parts[7][0] = of_format_11(parts[7][0])
    return msgspec.msgpack.encode(parts)


@pytest.mark.parametrize("most_awake", [3, 10_000])
def test_format_11_is_read_to_the_last_bit(most_awake: int) -> None:
    events = fortnight()
    half = len(events) // 2
    whole = EmbeddedHistory()
    whole.observe(events[:half], now_s=NOW_S)
    whole.learn([event.event_id for event in events[:half]])
    restored = EmbeddedHistory(HistorySettings(most_awake=most_awake))
    restored.restore(older(whole.snapshot()))
    expected = whole.observe(events[half:], now_s=NOW_S)
    found = restored.observe(events[half:], now_s=NOW_S)
    assert found.values.tobytes() == expected.values.tobytes()
    assert np.array_equal(found.trails, expected.trails)
    assert restored.evidence(events[-1], found, -1) == whole.evidence(events[-1], expected, -1)
