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
from tempfile import TemporaryDirectory
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
#: Warming up takes no longer than so, also where it is not enough.
_KNOWN_WITHIN_S = 60.0
#: Events until everybody of the traffic has been seen, in each of their copies.
_EVERYBODY = 160_000
#: Tells the processes of a server from all others.
_MARK = "ZTAD_BENCH_SERVER"

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "peers"
EVENTS_FILE = "events.npy"
PYTHON = FOLDER / "venv" / "bin" / "python"

Command = Callable[[int], list[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to be measured: its command line for a port, and how many times its throughput
    ztad is to have. ``arrays``: it takes JSON arrays, also of one event. ``constant``: it answers
    with no verdicts. ``known_after``: events until it has seen everybody. Without a command:
    ztad's detectors alone, in this process."""

    name: str
    command: Command | None
    singles_goal: float | None = None
    batches_goal: float | None = None
    arrays: bool = False
    constant: bool = False
    known_after: int = 0


def _uvicorn(app: str, *options: str) -> Command:
    words = [str(PYTHON), "-m", "uvicorn", app, "--log-level", "warning", *options]
    return lambda port: [*words, "--port", str(port)]


def _bentoml(service: str) -> Command:
    words = [str(PYTHON), "-m", "bentoml", "serve", service, "--do-not-track"]
    words += ["--host", "127.0.0.1", "--working-dir", str(ROOT)]
    return lambda port: [*words, "--port", str(port)]


def _python(module: str) -> Command:
    """A program that runs with ztad's own packages."""
    return lambda port: [sys.executable, "-m", module, "--port", str(port)]


PEERS = (
    Peer("the report's stack", _uvicorn("peers.report:app", "--workers", "2"), 80.0, 4.0),
    Peer("the same, tuned", _uvicorn("peers.tuned:app", "--workers", "2", "--no-access-log")),
    Peer("BentoML", _bentoml("peers.batching:Scoring"), 1.8, 4.0, arrays=True),
    Peer("naive Ray graph", _python("peers.graph")),
    Peer("Ray Serve no-op", _python("services.bench.node"), constant=True),
    Peer("uvicorn no-op", _uvicorn("peers.noop:app", "--no-access-log"), constant=True),
    Peer("ztad's models alone", None),
)


class Visit(msgspec.Struct, frozen=True):
    """One server in one round; ``singles`` by connections, memory (PSS, MiB) after all loads."""

    singles: dict[int, Outcome]
    batches: Outcome
    mloops_per_s: float
    ready_s: float | None = None
    memory_mib: float | None = None


class Fitted(msgspec.Struct, frozen=True):
    """ztad's model version in ``bundle``, and the support vectors of the peers' one-class SVM."""

    bundle: str
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
            command, cwd=ROOT, env=_environment(home, mark), stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(process, port, mark)
    try:
        wait_until_ready(process, port, log)
        yield replace(server, ready_s=time.monotonic() - started)
    finally:
        _end(server)


def _environment(home: Path, mark: str) -> dict[str, str]:
    """What servers keep goes below ``home``; workers find our folders, wherever they run."""
    own = {"ZTAD_HOME": home, "BENTOML_HOME": home / "bentoml", "PYTHONPATH": ROOT}
    return {**os.environ, **{name: str(value) for name, value in own.items()}, _MARK: mark}


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


class Loads:
    """Load on one server; no event is ever sent twice."""

    def __init__(self, server: Server, peer: Peer, plan: Plan) -> None:
        self._server, self._peer, self._plan = server, peer, plan
        self._run, self.sent = secrets.token_hex(3), 0

    def __call__(self, connections: int, batch: int = 0, seconds: float = 0.0) -> Outcome:
        """One load run, as long as planned where nothing else is said."""
        job = Job(
            host="127.0.0.1",
            port=self._server.port,
            events=self._plan.events,
            run=self._run,
            number=self.sent,
            seconds=seconds or self._plan.seconds,
            connections=connections,
            batch=(batch or 1) if self._peer.arrays else batch,
            path="/v1/score/batch" if batch else "/v1/score",
            content_type="application/json" if self._peer.arrays else "",
            constant=self._peer.constant,
        )
        outcome = finish_load(start_load(job))
        self.sent = outcome.next_number
        return outcome

    def warm_up(self) -> None:
        """What is not counted: first requests, and until nobody is a newcomer any more."""
        self(CONNECTIONS[0], seconds=WARM_UP_S)
        self(BATCH_CONNECTIONS, ASKED_BATCH, seconds=WARM_UP_S)
        deadline = time.monotonic() + _KNOWN_WITHIN_S
        while self.sent < self._peer.known_after and time.monotonic() < deadline:
            self(BATCH_CONNECTIONS, ASKED_BATCH)


def _served(server: Server, peer: Peer, plan: Plan) -> Visit:
    """Every load on one server, after the warm-up."""
    loads, speed = Loads(server, peer, plan), calibrate()
    loads.warm_up()
    singles = {connections: loads(connections) for connections in CONNECTIONS}
    batches = loads(BATCH_CONNECTIONS, ASKED_BATCH)
    held = memory(server.processes()).total_pss
    return Visit(singles, batches, speed, server.ready_s, held)


def _alone(fitted: Fitted, plan: Plan) -> Visit:
    from services.bench.alone import run_alone

    speed, bundle = calibrate(), Path(fitted.bundle)
    features = np.load(FOLDER / "models" / EVENTS_FILE)
    one, many = (
        run_alone(bundle, DETECTORS, features, batch, plan.seconds) for batch in (1, ASKED_BATCH)
    )
    return Visit({1: one}, many, speed)


def compare(peers: Sequence[Peer], fitted: Fitted, plan: Plan, home: Path, say: Say) -> Compared:
    """All rounds. What fails in a round is told and left out of it."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    report = Compared(started=started, cores=os.cpu_count() or 1, plan=plan, fitted=fitted)
    for number in range(1, plan.runs + 1):
        visits: dict[str, Visit] = {}
        for peer in peers:
            say(f"round {number} of {plan.runs}: {peer.name}")
            try:
                visits[peer.name] = found = _visit(peer, fitted, plan, home)
            except BenchError as error:
                say(f"  {error}")
            else:
                best = max(each.events_per_s for each in found.singles.values())
                say(f"  {best:,.0f} single, {found.batches.events_per_s:,.0f} in batches a second")
        report.rounds.append(visits)
    return report


def _visit(peer: Peer, fitted: Fitted, plan: Plan, home: Path) -> Visit:
    """Raises :class:`BenchError`."""
    from services.node import free_ports

    if peer.command is None:
        return _alone(fitted, plan)
    port = free_ports(1)[0]
    folder = home / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{peer.name.replace(' ', '-')}.log"
    with (
        # Nothing kept by an earlier round makes a later one slower.
        TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as kept,
        serving(peer.command(port), port, Path(kept), log) as server,
    ):
        return _served(server, peer, plan)


def fit_peers(bundle: Path, events: Path) -> Fitted:
    """Fit the peers' models on what ztad's detectors see of ``events``, with the parameters of
    ztad's detectors; raises :class:`BenchError`."""
    from ensemble.scorer import load_bundle

    if not PYTHON.exists():
        raise BenchError("the peers' packages are not installed; 'make bench-peers' does so")
    folder, loaded = FOLDER / "models", load_bundle(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / EVENTS_FILE, _seen(loaded, events))
    (folder / "parameters.json").write_text(json.dumps(_parameters(loaded)))
    done = subprocess.run(
        [str(PYTHON), "-m", "peers.training"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise BenchError(f"the peers' models cannot be fitted: {last}")
    return Fitted(str(bundle), loaded.version, int(done.stdout.split()[-1]))


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


def ztad(bundle: Path) -> Peer:
    """ztad itself with the shipped defaults."""
    command = [sys.executable, "-m", "services.cli", "serve", "--auth", "none"]
    command += ["--bundle", str(bundle.resolve())]
    return Peer("ztad", lambda port: [*command, "--port", str(port)], known_after=_EVERYBODY)
