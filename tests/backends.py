"""Real services for tests, as ``make backends`` started them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ADDRESSES = Path(__file__).resolve().parents[1] / "build" / "backends" / "backends.json"


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of an empty database."""
    if not ADDRESSES.exists():
        pytest.skip("no PostgreSQL is running: make backends")
    import asyncpg

    server = json.loads(ADDRESSES.read_text())["postgres"]
    name = f"test_{uuid.uuid4().hex}"

    async def told(sql: str) -> None:
        connection = await asyncpg.connect(server)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(told(f"CREATE DATABASE {name}"))
    yield server.rpartition("/")[0] + "/" + name
    asyncio.run(told(f"DROP DATABASE {name} WITH (FORCE)"))
