"""One machine running the whole graph: Ray, HAProxy, the application; started and ended as one."""

from __future__ import annotations

import io
import logging
import os
import random
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services import lean, runs, telemetry
from services.haproxy import EVERYWHERE, bracketed, tells_peers, write_launcher
from services.listening import listeners, table

if TYPE_CHECKING:
    from ray.serve import Application

#: HAProxy takes socket paths of at most 97 bytes, and Serve puts 72 behind this folder's.
LONGEST_FOLDER = 22
#: Ray's shared memory; nothing of ours goes through it, Ray wants at least 75 MiB.
OBJECT_STORE_BYTES = 80 * 1024 * 1024
#: Logical cores: enough for what the replicas claim. Ray starts as many idle workers at once.
LOGICAL_CORES = 2
#: Ray's workers take ports below these, Serve's replicas and the system those above.
FREE_PORTS = range(20_000, 30_000)
LOOPBACK = "127.0.0.1"
#: Longest wait for the first verdict, seconds.
READY_WITHIN_S = 120.0
#: What Ray and Serve read from the environment on every node, on one machine as in a cluster.
FLAGS = {
    # Single event loop, gRPC between deployments, buffered logs.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # A C proxy in front instead of Serve's Python one.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # One proxy thread; two cores have other work.
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    # A request without an answer may be sent again, several times: what is scored twice is
    # answered with its first verdict.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    "RAY_SERVE_HAPROXY_RETRIES": "5",
    # A machine busy with other work needs longer than 5 s to start HAProxy.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
    # A batch of 10,000 events is larger than the default 4 MiB.
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(64 * 1024 * 1024),
    # Flushing counters ten times a second costs more than it tells.
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    # What is put in front of the gateway in its replicas.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "services.http:middlewares",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    # One thread per library: parallelism comes from processes.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # A batch comes and goes as buffers of a megabyte: from the heap, of which up to 64 MiB stay,
    # instead of pages that the kernel hands out, clears and takes back for every one of them.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
}


class StartError(RuntimeError):
    """The graph cannot be started here; the message says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """``host`` is where HAProxy takes requests: ``127.0.0.1`` unless there are API keys. All the
    rest listens on loopback, whatever it is."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 8000


Say = Callable[[str], None]
#: Makes the application from its arguments; called once Ray runs, since it imports Serve.
Graph = Callable[[dict[str, Any]], "Application"]


class Node:
    """Starts and stops the graph in this process and its children. Use as a context manager."""

    def __init__(self, settings: NodeSettings, say: Say, *, graph: Graph | None = None) -> None:
        self._settings = settings
        self._say = say
        self._graph = graph or _scoring_graph
        self._run: runs.Run | None = None

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where to reach the gateway from this machine."""
        host = self._settings.host
        local = LOOPBACK if host in EVERYWHERE else bracketed(host)
        return f"http://{local}:{self._settings.port}"

    def start(self, arguments: dict[str, Any]) -> None:
        """Start everything and return once a canned event scores; raises :class:`StartError`."""
        settings = self._settings
        self._end_leftovers()
        check_port(settings.host, settings.port)
        run_id = runs.new_run_id()
        folder = _folder(run_id)
        self._run = runs.this_process(run_id, settings.host, settings.port, folder)
        runs.write(settings.home, self._run)
        try:
            keys = arguments.get("auth") == "keys"
            prepare_environment(run_id, folder, public=settings.host, keys=keys)
        except FileNotFoundError as error:
            raise StartError(str(error)) from None
        lean.import_serve()
        self._say("starting Ray")
        _start_ray(folder)
        self._say("starting the deployments")
        _run_application(self._graph, arguments, settings)
        self._say("scoring a canned event through every stage")
        self._wait_until_ready()

    def stop(self) -> None:
        """End every process of this run and remove its record; safe to call twice."""
        run, self._run = self._run, None
        if run is None:
            return
        self._say("stopping")
        _shut_down()
        runs.sweep(run)
        runs.forget(self._settings.home, run)

    def listening(self) -> list[str]:
        """Every address that a process of this run listens on, by process."""
        return [] if self._run is None else table(listeners(self._run))

    def _end_leftovers(self) -> None:
        """What a killed supervisor left behind goes before its port is used again."""
        for run in runs.recorded(self._settings.home):
            if runs.supervisor(run) is None:
                runs.sweep(run)
                runs.forget(self._settings.home, run)
            elif run.port == self._settings.port:
                raise StartError(
                    f"ztad already serves on port {run.port} (process {run.pid}): "
                    "stop it with 'ztad stop' or choose another --port"
                )

    def _wait_until_ready(self) -> None:
        import httpx

        last = "no answer"
        deadline = time.monotonic() + READY_WITHIN_S
        with httpx.Client(trust_env=False, timeout=10.0) as client:
            while time.monotonic() < deadline:
                try:
                    response = client.get(f"{self.url}/readyz")
                    if response.status_code == 200:
                        return
                    last = response.text[:200]
                except httpx.HTTPError as error:
                    last = type(error).__name__
                time.sleep(0.1)
        raise StartError(f"not ready after {READY_WITHIN_S:.0f} s ({last}); run 'ztad doctor'")


def check_port(host: str, port: int) -> None:
    """Raises :class:`StartError` if somebody listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(
                f"cannot listen on {host}:{port} ({reason}): choose another --port"
            ) from None


def prepare_environment(
    run_id: str, folder: Path, *, public: str = LOOPBACK, keys: bool = False
) -> dict[str, int]:
    """Set what Ray and Serve read at import, here and in every child; returns the ports chosen.

    ``public`` is where HAProxy is to take requests, ``keys`` whether API keys decide who is let
    in. Must run before ``ray.serve`` is imported. Raises FileNotFoundError without an HAProxy.
    """
    ports = dict(zip(("haproxy metrics", "haproxy stats", "fallback proxy"), free_ports(3),
                     strict=True))  # fmt: skip
    os.environ.update(FLAGS)
    os.environ.update(
        {
            runs.RUN_ID: run_id,
            # Keep process environments readable after Ray renames its workers.
            "SPT_NOENV": "1",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "h" / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "h" / "admin.sock"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "h" / "metrics.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "h"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "h" / "server-state"),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports["haproxy metrics"]),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(ports["haproxy stats"]),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports["fallback proxy"]),
            # All of it is on this machine: Ray then listens on loopback, as it does by itself where
            # it knows no clusters, on macOS and Windows.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            # Ray would give way to all other work, until it misses its own deadlines.
            "RAY_worker_niceness": "0",
            # Our requests take milliseconds: there is nothing to drain for half a minute.
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        }
    )
    _keep_local_traffic_off_proxies()
    _use_tracing()
    _lock_up(folder)
    _tell_peers(folder, public, keys=keys)
    (folder / "h").mkdir(parents=True, exist_ok=True)
    return ports


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on right now; below those that the system hands out by itself, or
    another process might be given one before it is used, and beside Ray's and Serve's own."""
    found: list[int] = []
    for port in random.sample(FREE_PORTS, 100):
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise StartError(f"no free port from {FREE_PORTS.start} to {FREE_PORTS.stop - 1}")


def _lock_up(folder: Path) -> None:
    """Ray answers only who has this run's token; our own keys are in no process that needs none."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    for name in ("RAY_AUTH_TOKEN", "ZTAD_API_KEYS", "ZTAD_API_KEY"):
        os.environ.pop(name, None)


def _tell_peers(folder: Path, public: str, *, keys: bool) -> None:
    """Have HAProxy tell the gateway who asks, and the gateway believe HAProxy."""
    if tells_peers(os.environ.get("RAY_SERVE_HAPROXY_BINARY_PATH", "")):
        del os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"]  # of an earlier run
    launcher = write_launcher(folder, public=public, pages=LOOPBACK)
    os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(launcher)
    # More proxies in front may be believed where keys decide, never where the address does.
    if not keys:
        os.environ["FORWARDED_ALLOW_IPS"] = "127.0.0.1,::1"


def _use_tracing() -> None:
    """Serve's tracing with our provider, only where somebody collects traces."""
    if telemetry.wanted():
        os.environ["RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH"] = telemetry.EXPORTER_IMPORT_PATH
        os.environ.setdefault("RAY_SERVE_TRACING_SAMPLING_RATIO", "1.0")
    else:
        os.environ.pop("RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH", None)


def _keep_local_traffic_off_proxies() -> None:
    """A proxy of the environment must not be asked for 127.0.0.1, neither by us nor by gRPC."""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        local = [host for host in ("127.0.0.1", "localhost", "::1") if host not in hosts]
        os.environ[name] = ",".join([*hosts, *local])


def _folder(run_id: str) -> Path:
    """A folder for sockets and logs with a path short enough for Unix sockets."""
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        folder = Path(base) / f"ztad-{run_id[-6:]}"
        if len(str(folder)) > LONGEST_FOLDER:
            continue
        try:
            folder.mkdir(mode=0o700, parents=True)
        except OSError:
            continue
        return folder
    raise StartError("no writable temporary folder with a short path: set TMPDIR to one")


def _start_ray(folder: Path) -> None:
    import ray

    try:
        with keeping_signals():
            ray.init(
                address="local",
                num_cpus=LOGICAL_CORES,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                configure_logging=True,
                logging_level=logging.ERROR,
                log_to_driver=False,
                namespace="ztad",
                runtime_env={"worker_process_setup_hook": lean.HOOK},
                _temp_dir=str(folder),
            )
    except Exception as error:  # Ray raises a bare Exception on a machine that is too busy
        raise StartError(f"Ray does not start: {error}; run 'ztad doctor'") from error


@contextmanager
def keeping_signals() -> Iterator[None]:
    """For the block in which Ray starts, which puts two handlers of its own on SIGTERM: one kills
    Ray's processes and exits, the other aborts this one three seconds later, whatever it does
    by then. So ours is put back, and what Ray's may have begun meanwhile is an interruption."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        signal.alarm(0)  # by which Ray would abort
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGTERM, ours)


def _scoring_graph(arguments: dict[str, Any]) -> Application:
    from services.app import AppArgs, build

    return build(AppArgs(**arguments))


def _run_application(graph: Graph, arguments: dict[str, Any], settings: NodeSettings) -> None:
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.schema import LoggingConfig

    quiet = LoggingConfig(encoding="JSON", log_level="WARNING", enable_access_log=False)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        serve.start(http_options={"host": LOOPBACK, "port": settings.port}, logging_config=quiet)
        serve.run(graph(arguments), name="ztad", route_prefix="/", logging_config=quiet)
    except (RuntimeError, RayError) as error:
        raise StartError(f"the graph does not start: {_cause() or error}") from error


def _cause() -> str:
    """The last line of what the first failed deployment says, if Serve can still be asked."""
    from ray import serve

    try:
        deployments = serve.status().applications["ztad"].deployments
    except Exception:  # noqa: BLE001 - a half-started cluster may fail in any way
        return ""
    for name, state in deployments.items():
        if state.status == "DEPLOY_FAILED" and state.message.strip():
            return f"{name}: {state.message.strip().splitlines()[-1]}"
    return ""


def _shut_down() -> None:
    """Serve first, then Ray; whatever refuses is swept afterwards."""
    import ray

    if not ray.is_initialized():
        return
    from ray import serve

    end: Callable[[], None] = serve.shutdown
    # Ray tells here that the controller died, which is what was asked of it.
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            end()
        except Exception:  # a half-dead cluster may fail in any way; it is swept next
            logging.getLogger("ztad").debug("serve.shutdown failed", exc_info=True)
        ray.shutdown()
