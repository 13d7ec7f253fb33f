from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from models.aliases import Alias
from services.commands.live import (
    Gateway,
    GatewayError,
    Live,
    NoGateway,
    Share,
    Watching,
    with_version,
    without,
)


def live(champion: str, challenger: str = "", shadow: str = "") -> Live:
    """``VERSION=PERCENT`` of each part."""

    def share(text: str) -> Share:
        version, _, percent = text.partition("=")
        return Share(version, float(percent))

    other = share(challenger) if challenger else None
    return Live(share(champion), other, Watching(shadow) if shadow else None)


@pytest.mark.parametrize(
    ("now", "alias", "version", "weight", "then"),
    [
        (live("1=100"), "champion", "2", None, live("2=100")),
        (live("1=100"), "challenger", "2", None, live("1=100", "2=0")),
        (live("1=100"), "challenger", "2", 10, live("1=90", "2=10")),
        (live("1=90", "2=10"), "challenger", "3", None, live("1=90", "3=10")),
        (live("1=90", "2=10"), "challenger", "2", 50, live("1=50", "2=50")),
        (live("1=90", "2=10"), "champion", "2", None, live("2=100")),
        (live("1=90", "2=10"), "champion", "3", None, live("3=90", "2=10")),
        (live("1=90", "2=10"), "champion", "3", 60, live("3=60", "2=40")),
        (live("1=90", "2=10"), "champion", "1", 100, live("1=100", "2=0")),
        (live("1=100"), "shadow", "2", None, live("1=100", shadow="2")),
        (live("1=90", "2=10"), "shadow", "2", None, live("1=100", shadow="2")),
        (live("1=90", "2=10", "3"), "challenger", "3", None, live("1=90", "3=10")),
        (live("1=90", "2=10", "3"), "champion", "3", None, live("3=90", "2=10")),
    ],
)
def test_a_version_takes_its_part(
    now: Live, alias: Alias, version: str, weight: float | None, then: Live
) -> None:
    assert with_version(now, alias, version, weight) == then


@pytest.mark.parametrize(
    ("now", "alias", "version", "weight", "problem"),
    [
        (live("1=100"), "challenger", "1", None, "1 is the champion there"),
        (live("1=100"), "shadow", "1", None, "1 is the champion there"),
        (live("1=100"), "champion", "2", 80, "there is no challenger to answer the other 20 %"),
        (live("1=90", "2=10"), "champion", "2", 80, "there is no challenger"),
    ],
)
def test_somebody_must_answer(
    now: Live, alias: Alias, version: str, weight: float | None, problem: str
) -> None:
    with pytest.raises(GatewayError, match=problem):
        with_version(now, alias, version, weight)


def test_a_part_may_be_given_up() -> None:
    now = live("1=90", "2=10", "3")
    assert without(now, "challenger") == live("1=100", shadow="3")
    assert without(now, "shadow") == live("1=90", "2=10")


def test_a_change_is_in_force_when_it_returns(routing_server: Any) -> None:
    gateway = Gateway(routing_server.url, "")
    now = gateway.routing()
    assert (now.champion, now.challenger, now.shadow) == (Share("1", 100.0), None, None)
    changed = gateway.change(with_version(now, "challenger", "2", 25.0))
    assert changed == gateway.routing()
    assert (changed.champion, changed.challenger) == (Share("1", 75.0), Share("2", 25.0))
    assert (changed.revision, changed.changed_by) == (8, "ann")


def test_what_somebody_else_has_changed_meanwhile_stays(routing_server: Any) -> None:
    gateway = Gateway(routing_server.url, "")
    ours, theirs = gateway.routing(), gateway.routing()
    changed = gateway.change(with_version(theirs, "champion", "2"))
    with pytest.raises(GatewayError, match="somebody else has just changed the routing"):
        gateway.change(with_version(ours, "champion", "3"))
    assert gateway.routing() == changed


def test_a_refusal_is_told(routing_server: Any) -> None:
    gateway = Gateway(routing_server.url, "")
    with pytest.raises(GatewayError, match="version 9 is not here"):
        gateway.change(with_version(gateway.routing(), "champion", "9"))


def test_the_key_is_sent_and_never_told(routing_server: Any) -> None:
    routing_server.key = "s3cret"
    assert Gateway(routing_server.url, "s3cret").routing().champion.version == "1"
    for key in ("", "wrong-s3cret"):
        with pytest.raises(GatewayError, match=r"unknown API key.*set ZTAD_API_KEY") as refused:
            Gateway(routing_server.url, key).routing()
        assert "s3cret" not in str(refused.value)


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(NoGateway, match=f"no gateway answers at {url}: start one"):
            Gateway(url, "").routing()


def test_something_else_there() -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        gateway = Gateway(f"http://127.0.0.1:{server.server_address[1]}", "")
        with pytest.raises(GatewayError, match="what answers there is no gateway of ours"):
            gateway.routing()
        thread.join()
