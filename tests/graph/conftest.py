"""One real graph for every test that needs one: starting it is what costs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import Bundle
from tests.graph.receiver import Receiver
from tests.graph.served import Served


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Where the graph's spans arrive."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder with a short path, outside of any other run's."""
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def graph(bundle: Bundle, receiver: Receiver, home: Path) -> Iterator[Served]:
    """``ztad serve`` with HAProxy; traces only what a caller's ``traceparent`` asks for."""
    served = Served(
        bundle.path,
        home / "a",
        environment={
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_TRACES_SAMPLER_ARG": "0",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
    )
    with served:
        served.start()
        yield served
