"""Fixtures that several contract suites share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.storage.base import Limits, Store
from services.storage.opening import open_store
from services.streaming.base import Broker
from services.streaming.memory import MemoryBroker
from tests.contracts.stores import ROOMY, Make


@pytest.fixture(params=["memory", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Every broker there is."""
    if request.param == "memory":
        return MemoryBroker()
    from services.streaming.kafka import KafkaBroker

    try:
        address = request.getfixturevalue("kafka")
    except pytest.FixtureLookupError:
        pytest.skip("no Kafka is known to the tests")
    return KafkaBroker({"bootstrap.servers": address})


@pytest.fixture
def name() -> str:
    """What topics and groups of a test begin with; no other test knows it."""
    return f"test.{secrets.token_hex(6)}"


@pytest.fixture(params=["file", "memory", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes stores with some limits."""
    made: list[Store] = []
    where = {"file": str(tmp_path), "memory": None}.get(request.param)
    if request.param == "postgres":
        where = request.getfixturevalue("postgres")

    def one(**limits: Any) -> Store:
        given = {name: getattr(ROOMY, name) for name in Limits.__slots__} | limits
        made.append(open_store(where, Limits(**given)))
        return made[-1]

    yield one
    for store in made:
        store.close()
