"""Fixtures that several contract suites share."""

from __future__ import annotations

import secrets

import pytest

from services.streaming.base import Broker
from services.streaming.memory import MemoryBroker


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
