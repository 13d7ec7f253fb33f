"""Who is judged by which version, and what a routing document may say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing import (
    Live,
    Routing,
    RoutingError,
    StaleRevision,
    decode,
    describe,
    encode,
    only,
    parse,
)

USERS = [f"user-{number}" for number in range(20_000)]
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
FOLDERS = {name: Path("models") / name for name in ("v1", "v2", "v3")}


def split(percent: float) -> Routing:
    """v2 challenges v1 for a percentage of the users."""
    return Routing(
        (Live("champion", "v1", "p1", 100 - percent), Live("challenger", "v2", "p2", percent))
    )


def find(version: str) -> Path:
    try:
        return FOLDERS[version]
    except KeyError:
        raise LookupError(f"version {version} is not here") from None


def parsed(document: Any, current: Routing | None = None) -> Routing:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse(body, current or only("v1", "p1"), find, by="ann", now=NOW)


@pytest.mark.parametrize("percent", [1.0, 10.0, 50.0, 90.0])
def test_users_are_shared_by_weight(percent: float) -> None:
    champion, challenger = split(percent).assign(USERS)
    assert len(challenger) / len(USERS) == pytest.approx(percent / 100, abs=0.02)
    assert sorted(champion + challenger) == list(range(len(USERS)))


@given(st.floats(0, 100), st.floats(0, 100))
def test_more_weight_moves_nobody_back(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert set(split(less).assign(USERS[:500])[1]) <= set(split(more).assign(USERS[:500])[1])


@pytest.mark.parametrize(("percent", "expected"), [(0.0, 0), (100.0, 1)])
def test_all_or_nothing(percent: float, expected: int) -> None:
    assert split(percent).assign(USERS)[expected] == list(range(len(USERS)))
    assert split(percent).assign(USERS)[1 - expected] == []


def test_a_user_stays_whoever_else_is_in_the_batch() -> None:
    routing = split(30)
    together = set(routing.assign(USERS[:300])[1])
    alone = {row for row, user in enumerate(USERS[:300]) if routing.assign([user])[1]}
    assert together == alone


def test_a_document() -> None:
    routing = parsed(
        {
            "champion": {"version": "v1", "weight": 80},
            "challenger": {"version": "v2", "weight": 20},
            "shadow": {"version": "v3"},
            "revision": 0,
        }
    )
    assert [(live.variant, live.version, live.weight) for live in routing.everyone] == [
        ("champion", "v1", 80.0),
        ("challenger", "v2", 20.0),
        ("shadow", "v3", 0.0),
    ]
    assert routing.everyone[1].path == str(Path("models/v2"))
    assert (routing.revision, routing.changed_by, routing.base) == (1, "ann", "v1")
    assert routing.changed_at == "2026-11-22T08:00:00.000Z"
    assert decode(encode(routing)) == routing
    again = json.loads(describe(routing))
    assert parsed({**{k: v for k, v in again.items() if not k.startswith("changed")},
                   "revision": 0}) == routing  # fmt: skip


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (b"{", "body"),
        ({}, "body"),
        ({"champion": {"version": "v1"}}, "body"),
        ({"champion": {"version": "v1", "weight": 100}, "shadwo": None}, "body"),
        ({"champion": {"version": "v9", "weight": 100}}, "champion.version"),
        ({"champion": {"version": "../v1", "weight": 100}}, "champion.version"),
        ({"champion": {"version": "", "weight": 100}}, "champion.version"),
        ({"champion": {"version": "v1", "weight": -1}}, "champion.weight"),
        ({"champion": {"version": "v1", "weight": 99}}, "champion.weight"),
        ({"champion": {"version": "v1", "weight": 50},
          "challenger": {"version": "v2", "weight": 51}}, "champion.weight"),
        ({"champion": {"version": "v1", "weight": 50},
          "challenger": {"version": "v1", "weight": 50}}, "challenger.version"),
        ({"champion": {"version": "v1", "weight": 100}, "shadow": {"version": "v1"}},
         "shadow.version"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_used(document: Any, field: str) -> None:
    with pytest.raises(RoutingError) as refused:
        parsed(document)
    assert refused.value.field == field


def test_somebody_was_faster() -> None:
    current = Routing(only("v1", "p1").answering, revision=4)
    with pytest.raises(StaleRevision, match="3 is not the current revision 4"):
        parsed({"champion": {"version": "v1", "weight": 100}, "revision": 3}, current)
