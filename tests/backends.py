"""Real servers for tests, as ``make backends`` started them; without one its tests skip."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

STARTED = Path(__file__).resolve().parents[1] / "build" / "backends" / "backends.json"


def address(server: str) -> str:
    """Where a server answers; skips the test, with the reason, where none does."""
    known = Path(os.environ.get("ZTAD_TEST_BACKENDS", STARTED))
    addresses = (
        msgspec.json.decode(known.read_bytes(), type=dict[str, str]) if known.exists() else {}
    )
    if server not in addresses:
        pytest.skip(f"no {server} in {known}: make backends")
    found = urlsplit(addresses[server] if "//" in addresses[server] else f"//{addresses[server]}")
    try:
        socket.create_connection((found.hostname, found.port), timeout=5).close()
    except OSError as error:
        pytest.skip(f"{server} of {known} does not answer ({error}): make backends")
    return addresses[server]


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of an empty database."""
    import asyncpg

    server = address("postgres")
    name = f"test_{uuid.uuid4().hex}"

    async def told(sql: str) -> None:
        connection = await asyncpg.connect(server)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(told(f"CREATE DATABASE {name}"))
    yield server.rpartition("/")[0] + "/" + name
    asyncio.run(told(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def redis() -> str:
    """The address of a Redis that others use as well: a test has a name of its own."""
    return address("redis")


@pytest.fixture
def kafka() -> str:
    """HOST:PORT of a Kafka that others use as well: a test has topics of its own."""
    return address("kafka")
