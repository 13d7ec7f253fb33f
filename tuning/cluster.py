"""Ray for one search: a cluster of its own on this machine's loopback, or one that is there."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Longest path of Ray's folder: it adds 65 characters to it, and a Unix socket's has at most 107.
LONGEST_FOLDER = 42
#: Ray's store of shared objects. The facts of 100,000 events are 80 MB.
OBJECT_STORE_BYTES = 400_000_000
#: Read by Ray when it is imported. Tune would otherwise write a CSV, JSON and TensorBoard log per
#: trial, print trials' errors, which the journal has, take Ctrl-C for "finish what you began", and
#: wait ten minutes for a trial to stop.
#: Trials give way to other work, but not as far as Ray would have them (15): beside a busy server
#: they would get a thirtieth of a core.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_worker_niceness": "5",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
#: A trial has one core: more threads in each would only get in each other's way.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
_LEFT = "ray-folder"
#: Ray's processes are gone this long after it was shut down, seconds.
CLEARING_S = 5.0


class ClusterError(RuntimeError):
    """Ray cannot be started or reached; the message says how to mend it."""


@contextmanager
def cluster(folder: Path, *, cpus: int, address: str = "") -> Iterator[None]:
    """Ray for the block: at ``address`` (``auto`` or ``HOST:PORT``), or started here with ``cpus``.

    What is started here listens on loopback alone, answers only who has its token, keeps its files
    in a folder of its own and ends with the block, or with this process if that is killed; the
    next search of the same ``folder`` then clears up. Raises :class:`ClusterError`.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _clear(folder)
    own = _own_folder(folder)
    if not address:
        _keep_to_this_machine(own)
    import ray  # which looks for a token when it is imported

    # Ray warns of what it will change, through Python's warnings.
    warnings.filterwarnings("ignore", module=r"ray(\.|$)")
    try:
        if address:
            ray.init(address=address, runtime_env={"env_vars": _ONE_THREAD}, **_quiet())
        else:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                runtime_env={"env_vars": _ONE_THREAD},
                _temp_dir=str(own),
                **_quiet(),
            )
    except Exception as error:  # Ray raises a bare Exception on a machine that is too busy
        where = f"at {address} cannot be reached" if address else "does not start"
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise ClusterError(f"Ray {where}: {why[-1][:300]}; run 'ztad doctor'") from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with _ending_on_sigterm():
            yield
    finally:
        ray.shutdown()
        _clear(folder)


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does; Ray, once started, would have it abort the process
    and leave its own processes and files behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def _own_folder(folder: Path) -> Path:
    """A folder with a path short enough for Unix sockets, noted so that it can be cleared up."""
    base = tempfile.gettempdir()
    made = tempfile.mkdtemp(prefix="ztad-", dir=base if len(base) < LONGEST_FOLDER - 14 else "/tmp")
    (folder / _LEFT).write_text(made)
    return Path(made)


def _keep_to_this_machine(own: Path) -> None:
    """Loopback, as Ray does by itself where it knows no clusters, on macOS and Windows; a token of
    our own; and no proxy of the environment in between."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*hosts, "127.0.0.1", "localhost"])
    token = own / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    os.environ.pop("RAY_AUTH_TOKEN", None)


def _clear(folder: Path) -> None:
    """Remove what a search has left; what Ray's last processes still write to is for the next."""
    note = folder / _LEFT
    if not note.exists():
        return
    left, until_s = Path(note.read_text()), time.monotonic() + CLEARING_S
    while left.exists():
        shutil.rmtree(left, ignore_errors=True)
        if time.monotonic() > until_s:
            return
        time.sleep(0.05)
    note.unlink()
