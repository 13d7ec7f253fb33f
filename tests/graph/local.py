"""The whole graph in this process, and somebody who talks to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from models.bundle import Bundle
from services.local import local_gateway

T = TypeVar("T")


def with_graph(
    bundle: Bundle, talk: Callable[[httpx.AsyncClient], Awaitable[T]], **settings: Any
) -> T:
    """What ``talk`` returns, given a client of a fresh ``local_gateway`` with these settings."""

    async def run() -> T:
        app = local_gateway(bundle, **settings)
        app.start()
        async with client_of(app) as client:
            return await talk(client)

    return asyncio.run(run())


def client_of(app: Any) -> httpx.AsyncClient:
    """A client that calls an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ztad")
