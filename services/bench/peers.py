"""ztad beside what others would build with the same detectors, and beside limits (``peers/``).

One after the other, each in every round, so that a slow phase of the machine meets them all.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from services.bench.load import finish_load, start_load
from services.bench.machine import calibrate, memory
from services.bench.outcome import Job, Outcome
from services.bench.rounds import ASKED_BATCH, BATCH_CONNECTIONS, Plan, Say
from services.bench.subject import BenchError, wait_until_ready

if TYPE_CHECKING:
    from models.bundle import Bundle

#: Single events: each peer counts at the one that suits it best.
CONNECTIONS = (16, 64, 128)
WARM_UP_S = 1.0
#: The detectors that peers have as well.
DETECTORS = ("isolation_forest", "one_class_svm", "autoencoder")
_END_WITHIN_S = 30.0
#: Tells the processes of a server from all others.
_MARK = "ZTAD_BENCH_SERVER"

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "peers"
PYTHON = FOLDER / "venv" / "bin" / "python"

Command = Callable[[int], list[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to be measured: its command line for a port, and how many times its throughput
    ztad is to have. A ``limit`` scores nothing."""

    name: str
    command: Command
    singles_goal: float | None = None
    batches_goal: float | None = None
    limit: bool = False


def _uvicorn(app: str, *options: str) -> Command:
    words = [str(PYTHON), "-m", "uvicorn", app, "--log-level", "warning", *options]
    return lambda port: [*words, "--port", str(port)]


PEERS = (
    Peer("the report's stack", _uvicorn("peers.report:app", "--workers", "2"), 80.0, 4.0),
    Peer("the same, tuned", _uvicorn("peers.tuned:app", "--workers", "2", "--no-access-log")),
    Peer("uvicorn no-op", _uvicorn("peers.noop:app", "--no-access-log"), limit=True),
)


class Visit(msgspec.Struct, frozen=True):
    """One server in one round; ``singles`` by connections, memory (PSS, MiB) after all loads."""

    ready_s: float
    singles: dict[int, Outcome]
    batches: Outcome
    memory_mib: float
    mloops_per_s: float


class Fitted(msgspec.Struct, frozen=True):
    """ztad's model version, and the support vectors of the peers' one-class SVM."""

    model: str
    support_vectors: int


class Compared(msgspec.Struct, kw_only=True):
    """Everything found; ``rounds`` by name of the server, without those that failed in it."""

    started: str
    cores: int
    plan: Plan
    fitted: Fitted
    rounds: list[dict[str, Visit]] = []


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs; all of its processes inherit ``mark``."""

    process: subprocess.Popen[bytes]
    port: int
    mark: str
    ready_s: float = 0.0

    def processes(self) -> list[psutil.Process]:
        """It and whatever it has started, also what has detached itself."""
        return [each for each in psutil.process_iter() if _marked(each, self.mark)]


@contextmanager
def serving(command: list[str], port: int, home: Path, log: Path) -> Iterator[Server]:
    """Run a command until its server is ready, and end all of its processes afterwards."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started, mark = time.monotonic(), secrets.token_hex(8)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "ZTAD_HOME": str(home), _MARK: mark},
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    server = Server(process, port, mark)
    try:
        wait_until_ready(process, port, log)
        yield replace(server, ready_s=time.monotonic() - started)
    finally:
        _end(server)


def _end(server: Server) -> None:
    """In order first, then whatever is left."""
    server.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(_END_WITHIN_S)
    left = server.processes()
    for each in left:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(left, timeout=_END_WITHIN_S)
    server.process.wait(_END_WITHIN_S)


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(_MARK) == mark
    except psutil.Error:
        return False


def visit(server: Server, plan: Plan, say: Say) -> Visit:
    """Every load on one server, after one that is not counted."""
    speed, run = calibrate(), secrets.token_hex(3)
    number = 0

    def load(connections: int, batch: int = 0, seconds: float = plan.seconds) -> Outcome:
        nonlocal number
        job = Job(
            host="127.0.0.1", port=server.port, events=plan.events, run=run, number=number,
            seconds=seconds, connections=connections, batch=batch,
        )  # fmt: skip
        outcome = finish_load(start_load(job))
        number = outcome.next_number
        return outcome

    load(CONNECTIONS[0], seconds=WARM_UP_S)
    singles = {connections: load(connections) for connections in CONNECTIONS}
    batches = load(BATCH_CONNECTIONS, ASKED_BATCH)
    best = max(singles.values(), key=lambda each: each.events_per_s)
    say(f"  {best.events_per_s:,.0f} req/s, {batches.events_per_s:,.0f} events/s in batches")
    held = memory(server.processes()).total_pss
    return Visit(server.ready_s, singles, batches, held, speed)


def compare(peers: Sequence[Peer], fitted: Fitted, plan: Plan, home: Path, say: Say) -> Compared:
    """All rounds. What fails in a round is told and left out of it."""
    from services.node import free_ports

    started = datetime.now(UTC).isoformat(timespec="seconds")
    report = Compared(started=started, cores=os.cpu_count() or 1, plan=plan, fitted=fitted)
    for number in range(1, plan.runs + 1):
        visits: dict[str, Visit] = {}
        for peer in peers:
            say(f"round {number} of {plan.runs}: {peer.name}")
            port = free_ports(1)[0]
            log = home / "peers" / f"{peer.name.replace(' ', '-')}.log"
            try:
                with serving(peer.command(port), port, home, log) as server:
                    visits[peer.name] = visit(server, plan, say)
            except BenchError as error:
                say(f"  {error}")
        report.rounds.append(visits)
    return report


def fit_peers(bundle: Path, events: Path) -> Fitted:
    """Fit the peers' models on what ztad's detectors see of ``events``, with the parameters of
    ztad's detectors; raises :class:`BenchError`."""
    from ensemble.scorer import load_bundle

    if not PYTHON.exists():
        raise BenchError("the peers' packages are not installed; 'make bench-peers' does so")
    folder, loaded = FOLDER / "models", load_bundle(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "events.npy", _seen(loaded, events))
    (folder / "parameters.json").write_text(json.dumps(_parameters(loaded)))
    done = subprocess.run(
        [str(PYTHON), "-m", "peers.training"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise BenchError(f"the peers' models cannot be fitted: {last}")
    return Fitted(loaded.version, int(done.stdout.split()[-1]))


def _seen(bundle: Bundle, events: Path) -> NDArray[np.float32]:
    """Features (n, d) of the events in order."""
    from ensemble.scorer import Scorer
    from preprocessing.event import AuthEvent, decode_lines
    from preprocessing.prepare import prepare

    scorer, now_s = Scorer(bundle), time.time()
    decoded = decode_lines(events.read_bytes(), now_s=now_s)
    known = [each for each in decoded if isinstance(each, AuthEvent)]
    lens, parts = scorer.ensemble.spec.lens, []
    for start in range(0, len(known), ASKED_BATCH):
        batch = known[start : start + ASKED_BATCH]
        parts.append(prepare(batch, scorer.history, lens, now_s=now_s).features)
        scorer.history.learn([each.event_id for each in batch])
    return np.concatenate(parts)


def _parameters(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """What each detector of the bundle was made with."""
    from models import resolve

    found = {}
    for name in DETECTORS:
        defaults = signature(resolve(name)).parameters.values()
        given = bundle.manifest.details.settings.get("parameters", {}).get(name, {})
        found[name] = {each.name: each.default for each in defaults} | given
    return found


def ztad(bundle: Path, home: Path) -> Peer:
    """ztad itself with the shipped defaults."""
    command = [sys.executable, "-m", "services.cli", "serve", "--auth", "none"]
    command += ["--bundle", str(bundle)]
    return Peer(
        "ztad",
        lambda port: [*command, "--port", str(port), "--state-dir", str(home / f"state-{port}")],
    )
