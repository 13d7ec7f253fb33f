"""Listening addresses as the system shows them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import runs
from services.listening import Listener, listeners, table


@pytest.fixture
def open_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_what_the_system_shows(open_port: int, tmp_path: Path) -> None:
    run = runs.this_process(runs.new_run_id(), "127.0.0.1", 1, tmp_path)
    found = listeners(run)
    assert Listener("ztad serve", "127.0.0.1", open_port) in found
    with socket.socket() as bound_only:
        bound_only.bind(("127.0.0.1", 0))
        assert bound_only.getsockname()[1] not in {each.port for each in listeners(run)}


def test_a_run_that_has_ended(tmp_path: Path) -> None:
    run = runs.Run("0" * 24, 2**22, 0.0, "127.0.0.1", 1, str(tmp_path))
    assert listeners(run) == []


@pytest.mark.parametrize(
    ("address", "reachable"),
    [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("::", True), ("192.0.2.7", True)],
)
def test_who_reaches_it(address: str, reachable: bool) -> None:
    assert Listener("x", address, 1).reachable is reachable


def test_what_other_machines_reach_stands_out() -> None:
    found = [
        Listener("HAProxy", "0.0.0.0", 8000),
        Listener("HAProxy", "127.0.0.1", 8404),
        Listener("HAProxy", "127.0.0.1", 9101),
        Listener("Gateway", "::1", 30000),
    ]
    assert table(found) == [
        "HAProxy                0.0.0.0:8000   <- other machines reach this",
        "Gateway                [::1]:30000",
        "HAProxy                127.0.0.1:8404 127.0.0.1:9101",
    ]
