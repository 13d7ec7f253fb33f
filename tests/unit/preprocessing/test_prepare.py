"""Preparing events: features in decades, and what the decision is told of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import FEATURES, NAMES, extract
from preprocessing.prepare import Context, Lens, Prepared, prepare
from preprocessing.surprise import Curve, Surprise, notable

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
NOW_S = MONDAY.timestamp()
#: One decade per unit, so that 1 is the last commonplace value and 1.7 is notable.
SURPRISE = Surprise([Curve([0.0, 30.0], [0.0, 30.0])] * len(FEATURES))


def event(event_id: str, *, days: float = 0.0, **fields: Any) -> AuthEvent:
    known: dict[str, Any] = {"user_id": "ana", "outcome": "success", "device_id": "laptop"}
    return AuthEvent(MONDAY + timedelta(days=days), event_id=event_id, **known | fields)


def office() -> EmbeddedHistory:
    """A history that learned ana on thirty days in a row."""
    history = EmbeddedHistory()
    past = [event(f"past{days}", days=days - 30) for days in range(30)]
    history.observe(past, now_s=NOW_S)
    history.learn(e.event_id for e in past)
    return history


def prepared(*events: AuthEvent) -> Prepared:
    return prepare(events, office(), Lens(SURPRISE), now_s=NOW_S)


def test_features_are_the_mapped_values() -> None:
    events = [event("a"), event("b", device_id="stolen")]
    values = extract(events, office().observe(events, now_s=NOW_S)).values
    features = prepared(*events).features
    assert np.array_equal(features, SURPRISE(values))
    assert features.shape == (2, len(FEATURES))
    assert features[1, NAMES.index("device_user_bits")] > 1


def test_evidence_is_kept_of_notable_events_alone() -> None:
    told = prepared(event("a"), event("b", device_id="stolen"), event("c"))
    assert np.flatnonzero(notable(told.features)).tolist() == [1]
    assert list(told.context.evidence) == [1]
    shown = told.context.shown(1)
    assert shown is not None
    assert shown.event.device_id == "stolen"


def test_rows_are_listed_by_what_they_are() -> None:
    told = prepared(
        event("a"),
        event("a"),
        event("old", days=-1),
        event("attack", failed_attempts=50),
        event("new", user_id="bo"),
    ).context
    assert told.event_ids == ["a", "a", "old", "attack", "new"]
    assert told.user_ids == ["ana"] * 4 + ["bo"]
    assert (told.duplicate, told.late, told.blatant, told.learning) == ([1], [2], [3], [4])


def test_context_survives_the_journey() -> None:
    context = prepared(event("a"), event("b", device_id="stolen")).context
    assert Context.decode(context.encode()) == context


def test_no_events() -> None:
    told = prepared()
    assert told.features.shape == (0, len(FEATURES))
    assert told.context == Context([], [], [], [], [], [], {})
