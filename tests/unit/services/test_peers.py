"""Whose request it is, as far as the network and the browser tell."""

from __future__ import annotations

from typing import Any

import pytest

from services.http import HttpError
from services.peers import LoopbackOnly, address_of, is_loopback, origin_network


def asked(client: tuple[str, int] | None = ("127.0.0.1", 5), **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": client, "headers": pairs}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_this_machine(address: str) -> None:
    assert is_loopback(address)
    LoopbackOnly().check(asked((address, 5)))


@pytest.mark.parametrize(
    "address",
    ["192.0.2.7", "0.0.0.0", "10.0.0.1", "2001:db8::1", "::", "::ffff:192.0.2.7", "fe80::1",
     "localhost", "127.0.0.1.example.com", "", "127.0.0.1, 192.0.2.7", "unix:"],
)  # fmt: skip
def test_another_machine(address: str) -> None:
    assert not is_loopback(address)
    with pytest.raises(HttpError, match="its own machine only") as refused:
        LoopbackOnly().check(asked((address, 5)))
    assert (refused.value.status, refused.value.field) == (403, "client")


def test_a_peer_nobody_knows_is_another_machine() -> None:
    with pytest.raises(HttpError, match="an unknown address"):
        LoopbackOnly().check(asked(None))
    assert address_of(asked(None)) == ""


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "ztad:8000",
     "app.localhost"],
)  # fmt: skip
def test_a_name_of_this_machine(host: str) -> None:
    LoopbackOnly().check(asked(host=host))


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "evil.example.com:8000", "127.0.0.1.evil.com", "", "[", "192.0.2.7"],
)
def test_a_name_that_another_site_may_own(host: str) -> None:
    """DNS rebinding: the browser talks to us and thinks it is talking to that site."""
    with pytest.raises(HttpError) as refused:
        LoopbackOnly().check(asked(host=host))
    assert (refused.value.status, refused.value.field) == (403, "host")


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://localhost:3000", "127.0.0.1:8000"), ("http://ztad:8000", "ztad:8000"),
     ("http://[::1]:8000", "localhost:8000")],
)  # fmt: skip
def test_a_page_of_this_machine(origin: str, host: str) -> None:
    LoopbackOnly().check(asked(host=host, origin=origin))


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "null", "", "http://wiki", "http://localhost.evil.com", "http://[",
     "https://evil.example.com:8000"],
)  # fmt: skip
def test_a_page_of_another_site(origin: str) -> None:
    with pytest.raises(HttpError) as refused:
        LoopbackOnly().check(asked(host="localhost:8000", origin=origin))
    assert (refused.value.status, refused.value.field) == (403, "origin")


def test_one_that_was_let_in_does_not_let_in_the_next() -> None:
    here = LoopbackOnly()
    here.check(asked(host="localhost"))
    here.check(asked(host="localhost"))
    for other in (asked(("192.0.2.7", 5), host="localhost"), asked(host="evil.example.com")):
        with pytest.raises(HttpError):
            here.check(other)


def test_what_is_remembered_is_bounded() -> None:
    here = LoopbackOnly()
    for number in range(1000):
        here.check(asked((f"127.0.0.{number % 250}", 5), host=f"h{number}"))
    assert len(here._met) <= 64


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("x" * 1000, "x" * 64),
    ],
)
def test_networks_that_one_caller_may_choose_addresses_from(address: str, network: str) -> None:
    assert origin_network(address) == network
