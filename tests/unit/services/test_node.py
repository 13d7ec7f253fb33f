"""Starting where something is in the way says what and how to mend it; nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import node, runs
from services.node import (
    LONGEST_FOLDER,
    Node,
    NodeSettings,
    StartError,
    check_port,
    free_ports,
    keeping_signals,
    prepare_environment,
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The process's environment, for this test alone."""
    copy = dict(os.environ)
    monkeypatch.setattr(os, "environ", copy)
    return copy


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def silent(text: str) -> None:
    """Nobody reads it."""


def test_a_taken_port(tmp_path: Path, taken: int) -> None:
    with (
        pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{taken} .*--port"),
        Node(NodeSettings(tmp_path, port=taken), silent) as starting,
    ):
        starting.start({})
    assert list(runs.recorded(tmp_path)) == []


def test_an_address_of_another_machine() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 203\.0\.113\.1:80"):
        check_port("203.0.113.1", 80)


def test_a_port_that_served_a_moment_ago_is_free() -> None:
    """Connections that linger in TIME_WAIT are in nobody's way."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server, _ = listener.accept()
        server.close()
        client.close()
    check_port("127.0.0.1", port)


def test_ztad_serves_there_already(tmp_path: Path) -> None:
    """Two on one port are told apart from a stranger's port."""
    runs.write(tmp_path, runs.this_process("r", "127.0.0.1", 8123, tmp_path / "f"))
    message = f"ztad already serves on port 8123 .process {os.getpid()}.: stop it with 'ztad stop'"
    with pytest.raises(StartError, match=message):
        Node(NodeSettings(tmp_path, port=8123), silent).start({})
    assert [run.run_id for run in runs.recorded(tmp_path)] == ["r"]


def test_leftovers_of_a_killed_supervisor_go_first(tmp_path: Path, taken: int) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    runs.write(tmp_path, runs.Run("gone", os.getpid(), 1.0, "127.0.0.1", taken, str(folder)))
    with pytest.raises(StartError, match="cannot listen"):
        Node(NodeSettings(tmp_path, port=taken), silent).start({})
    assert not folder.exists()
    assert list(runs.recorded(tmp_path)) == []


def test_stopping_what_never_started(tmp_path: Path) -> None:
    stopped = Node(NodeSettings(tmp_path), silent)
    stopped.stop()
    stopped.stop()


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:9"), ("0.0.0.0", "http://127.0.0.1:9"),
     ("192.0.2.1", "http://192.0.2.1:9"), ("::", "http://127.0.0.1:9"), ("::1", "http://[::1]:9")],
)  # fmt: skip
def test_where_this_machine_reaches_it(tmp_path: Path, host: str, url: str) -> None:
    assert Node(NodeSettings(tmp_path, host=host, port=9), silent).url == url


@pytest.fixture
def folder() -> Iterator[Path]:
    """What ``_folder`` makes for a run."""
    made = node._folder(runs.new_run_id())
    yield made
    made.rmdir()


def test_a_folder_of_our_own(folder: Path) -> None:
    assert len(str(folder)) <= LONGEST_FOLDER
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_long_temporary_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sockets in it would have names that no system takes."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(long))
    made = node._folder(runs.new_run_id())
    assert len(str(made)) <= LONGEST_FOLDER
    assert made.is_dir()
    made.rmdir()
    assert list(long.iterdir()) == []


def test_no_temporary_folder_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StartError, match="TMPDIR"):
        node._folder(runs.new_run_id())


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("", "127.0.0.1,localhost,::1"),
        ("example.org", "example.org,127.0.0.1,localhost,::1"),
        ("localhost,example.org", "localhost,example.org,127.0.0.1,::1"),
    ],
)
def test_a_proxy_is_not_asked_for_this_machine(
    environment: dict[str, str], tmp_path: Path, given: str, made: str
) -> None:
    environment.update(http_proxy="http://proxy:3128", no_proxy=given, NO_PROXY=given)
    prepare_environment("r", tmp_path)
    assert environment["no_proxy"] == environment["NO_PROXY"] == made
    assert environment["http_proxy"] == "http://proxy:3128"


def test_every_path_and_port_is_of_this_run(environment: dict[str, str], tmp_path: Path) -> None:
    ports = prepare_environment("r", tmp_path)
    assert environment[runs.RUN_ID] == "r"
    assert len(set(ports.values())) == len(ports) == 3
    told = {name: value for name, value in environment.items() if name.startswith("RAY_SERVE_HAP")}
    for name, value in told.items():
        if re.search("LOC$|PATH$|BASE$|FILE$", name):
            assert Path(value).is_relative_to(tmp_path), name
        if name.endswith("_PORT"):
            assert int(value) in ports.values(), name


def test_ray_answers_only_who_has_the_token_of_this_run(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["RAY_AUTH_TOKEN"] = "of somebody else"  # would come before a file's
    prepare_environment("r", tmp_path)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in environment
    token = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert token.parent == tmp_path
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert re.fullmatch("[0-9a-f]{64}", token.read_text())


def test_no_replica_has_our_keys(environment: dict[str, str], tmp_path: Path) -> None:
    environment.update(ZTAD_API_KEYS="s3cret", ZTAD_API_KEY="s3cret")
    prepare_environment("r", tmp_path)
    assert "s3cret" not in environment.values()


def test_proxies_are_believed_only_where_keys_decide(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["FORWARDED_ALLOW_IPS"] = "*"
    prepare_environment("r", tmp_path, public="0.0.0.0", keys=True)
    assert environment["FORWARDED_ALLOW_IPS"] == "*"
    prepare_environment("r", tmp_path)
    assert environment["FORWARDED_ALLOW_IPS"] == "127.0.0.1,::1"


def test_haproxy_is_started_by_a_launcher_of_this_run(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        prepare_environment("r", tmp_path / name, public="192.0.2.1")
        launcher = Path(environment["RAY_SERVE_HAPROXY_BINARY_PATH"])
        assert launcher.parent == tmp_path / name
        assert "192.0.2.1" in launcher.read_text()
        assert os.access(launcher, os.X_OK)
    assert "first" not in launcher.read_text()


def test_tracing_follows_the_standard_variables(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for name in [name for name in environment if name.startswith("OTEL_")]:
        del environment[name]
    prepare_environment("r", tmp_path)
    assert "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH" not in environment
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://collector:4318"
    prepare_environment("r", tmp_path)
    assert environment["RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH"].startswith("services.telemetry:")


def test_free_ports() -> None:
    """Nobody listens there, and nobody is given one by chance before we use it."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20_000 <= port < 30_000 for port in ports)
    for port in ports:
        check_port("0.0.0.0", port)


def test_no_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr(node, "FREE_PORTS", range(port, port + 100))
        monkeypatch.setattr("random.sample", lambda ports, count: [port] * count)
        with pytest.raises(StartError, match="no free port"):
            free_ports(1)


@pytest.fixture
def handler() -> Iterator[signal.Handlers]:
    """What SIGTERM does in this test, put back afterwards."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)


def test_ray_does_not_keep_the_signal_handler(handler: signal.Handlers) -> None:
    with keeping_signals():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_what_ray_does_when_told_to_end_is_an_interruption(handler: signal.Handlers) -> None:
    def told_to_end() -> None:
        with keeping_signals():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise SystemExit(1)

    with pytest.raises(KeyboardInterrupt):
        told_to_end()
    assert signal.getsignal(signal.SIGTERM) is handler
