"""What the suites of stores ask of each, and what they put into it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest

from preprocessing.event import AuthEvent
from services.storage.base import AuditLine, Limits, Store, VerdictQuery
from tests.unit.services.storage.batches import batch, verdict

T = TypeVar("T")

DAY_S = 86400.0
NOW_S = 1_000_000.0
ROOMY = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)

Make = Callable[..., Store]
#: Those that give space back by the row; of others tests/integration tells.
by_the_row = pytest.mark.parametrize("make", ["file", "memory"], indirect=True)


def run(talk: Awaitable[T]) -> T:
    async def talking() -> T:
        return await talk

    return asyncio.run(talking())


async def trimmed(store: Store, now_s: float, most: int = 1000) -> int:
    """How many go until nothing more does."""
    total = 0
    while gone := await store.trim(now_s, most):
        total += gone
    return total


async def ids(store: Store, **query: Any) -> list[str]:
    """The event ids of a page."""
    page = await store.page(VerdictQuery(**query))
    return [msgspec.json.decode(each)["event_id"] for each in page.verdicts]


async def all_events(store: Store, since_s: float, until_s: float, limit: int) -> list[str]:
    """The ids of the events of a span, page by page."""
    found: list[str] = []
    after = None
    while True:
        page = await store.events(since_s, until_s, after, limit)
        assert len(page.events) <= limit
        found += [msgspec.msgpack.decode(each, type=AuthEvent).event_id for each in page.events]
        after = page.after
        if after is None:
            return found


PEOPLE = batch(
    verdict("a0", user_id="ann"),
    verdict("b1", "low", "off_hours_login", user_id="bob"),
    verdict("a2", "high", "impossible_travel", user_id="ann"),
    verdict("a3", user_id="ann"),
)

LIVE = batch(
    verdict("both", "low", "unusual_rate"),
    verdict("live", "high", "impossible_travel"),
    verdict("shadow"),
    verdict("none"),
)
SHADOW = batch(
    verdict("both", "high", "impossible_travel", variant="shadow", model_version="v2"),
    verdict("live", variant="shadow", model_version="v2"),
    verdict("shadow", "low", "off_hours_login", variant="shadow", model_version="v2"),
    verdict("none", variant="shadow", model_version="v2"),
    verdict("gone", variant="shadow", model_version="v2"),
    shadow=True,
    version="v2",
    path="bundles/v2",
)


def line(line_id: str, at_s: float = NOW_S) -> AuditLine:
    """A line of the audit log."""
    return AuditLine(line_id, at_s, msgspec.json.encode({"what": "admin", "target": line_id}))
