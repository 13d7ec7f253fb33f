"""Faults between a topic and a store: what becomes of every event, and of the history.

Each run sends the same events at the same pace to fresh topics, a fresh PostgreSQL and a fresh
history in Redis, and is counted when the group has committed everything. Then the same probes are
scored: what the history knows shows in their scores, which are compared with the undisturbed run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import psutil

from services import runs
from services.bench.accounts import Account, account
from services.bench.machine import process_name
from services.bench.rounds import NDJSON
from services.bench.streams import Place, place
from services.bench.subject import BenchError, Subject
from services.bench.traffic import Traffic
from services.bench.traffic import load as load_traffic

Say = Callable[[str], None]

RATE = 1000.0
WORKER = "StreamWorker"
#: Load before the first fault, between two of a kind, and how long a server is away, seconds.
BEFORE_S, BETWEEN_S, AWAY_S = 5.0, 10.0, 30.0
POISON_EVERY = 100
PROBES = 1000
#: Longest wait for the group to get any further: outages and restarts are part of it.
PATIENCE_S = 240.0


class Difference(msgspec.Struct, frozen=True):
    """Scores of the probes against those of the undisturbed run; ``flipped`` verdicts are over
    the threshold in one of the two alone."""

    probes: int
    different: int
    p99: float
    most: float
    flipped: int


class Disturbed(msgspec.Struct, frozen=True):
    """One run. ``behind_s``: how long after the last event everything was committed."""

    what: str
    account: Account | None = None
    behind_s: float = 0.0
    difference: Difference | None = None
    failed: str = ""


class Probe(msgspec.Struct, frozen=True):
    """What is compared of a verdict."""

    score: float
    is_anomaly: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """``disturb`` works beside the load until its event is set, and leaves everything running."""

    what: str
    disturb: Callable[[Place, threading.Event], None]
    poison: bool = False


def undisturbed(here: Place, sent: threading.Event) -> None:
    """Nothing happens."""


def workers_killed(here: Place, sent: threading.Event) -> None:
    """SIGKILL to every worker again and again."""
    while not sent.wait(BETWEEN_S):
        for node in here.nodes:
            _kill(each for each in node.processes() if process_name(each) == WORKER)


def broker_restarted(here: Place, sent: threading.Event) -> None:
    """The broker ends in order, and is back as soon as it can."""
    sent.wait(BEFORE_S)
    here.servers["kafka"].stop()
    here.servers["kafka"].start()


def away(name: str) -> Callable[[Place, threading.Event], None]:
    """A server ends in order, and is back after half a minute."""

    def disturb(here: Place, sent: threading.Event) -> None:
        sent.wait(BEFORE_S)
        here.servers[name].stop()
        time.sleep(AWAY_S)
        here.servers[name].start()

    return disturb


def worker_comes_and_goes(here: Place, sent: threading.Event) -> None:
    """A second node takes half of the partitions, and gives them back."""
    sent.wait(BEFORE_S)
    other = here.start("other")
    sent.wait(BETWEEN_S)
    other.stop()
    here.nodes.remove(other)


def node_killed(here: Place, sent: threading.Event) -> None:
    """SIGKILL to every process of the node at once, then the same node again."""
    sent.wait(BEFORE_S)
    [node] = here.nodes
    while found := node.processes():
        _kill(iter(found))
        psutil.wait_procs(found, 1.0)
    assert node.run is not None, "a node that was started here has a record"
    runs.forget(node.home, node.run)
    here.nodes.clear()
    here.start()


FAULTS = (
    Fault("undisturbed", undisturbed),
    Fault(f"worker killed every {BETWEEN_S:.0f} s", workers_killed),
    Fault("broker restarted", broker_restarted),
    Fault(f"database stopped {AWAY_S:.0f} s", away("postgres")),
    Fault(f"Redis stopped {AWAY_S:.0f} s", away("redis")),
    Fault("1 % poison", undisturbed, poison=True),
    Fault("a second worker comes and goes", worker_comes_and_goes),
    Fault("node killed and started again", node_killed),
)


def run_stream_faults(
    home: Path, bundle: Path, events: Path, count: int, say: Say
) -> list[Disturbed]:
    """Every fault in a run of its own; one that cannot be counted does not end the others."""
    now_s = time.time()
    done: list[Disturbed] = []
    expected: Mapping[str, Probe] | None = None
    for fault in FAULTS:
        say(fault.what)
        traffic = load_traffic(events, run="fault", now_s=now_s)
        try:
            with place(home, bundle, "postgres", say, history=True) as here:
                found, probes = _run(here, fault, traffic, count)
        except BenchError as error:
            done.append(Disturbed(fault.what, failed=str(error)))
            say(f"{fault.what}: {error}")
            continue
        if expected is None:
            expected = probes
        else:
            found = msgspec.structs.replace(found, difference=compare(expected, probes))
        done.append(found)
        say(f"{fault.what}: {found.account}")
    return done


def compare(expected: Mapping[str, Probe], found: Mapping[str, Probe]) -> Difference:
    """How much the scores of the same events differ."""
    common = expected.keys() & found.keys()
    if not common:
        raise BenchError("no probe was scored in both runs")
    apart = np.array([abs(expected[each].score - found[each].score) for each in common])
    return Difference(
        probes=len(common),
        different=int(np.count_nonzero(apart)),
        p99=float(np.percentile(apart, 99)),
        most=float(apart.max()),
        flipped=sum(expected[each].is_anomaly != found[each].is_anomaly for each in common),
    )


def poisoned(events: Iterator[bytes]) -> Iterator[bytes]:
    """Among them, one in a hundred, what is no event in one of several ways."""
    for number, event in enumerate(events):
        if number % POISON_EVERY == 0:
            yield _poison(number)
        yield event


def _poison(number: int) -> bytes:
    ways = (
        b'{"event_id":"poison-%d","user_id":"ann"',
        b'{"event_id":"poison-%d","user_id":7,"timestamp":"2026-11-02T09:00:00Z"}',
        b'{"event_id":"poison-%d","user_id":"ann","timestamp":"yesterday","outcome":"success"}',
        b"\xff\xfe poison %d",
    )
    return ways[number // POISON_EVERY % len(ways)] % number


def _run(
    here: Place, fault: Fault, traffic: Traffic, count: int
) -> tuple[Disturbed, Mapping[str, Probe]]:
    """Load with the fault beside it, then the count, then the probes."""
    here.start()
    events: Iterator[bytes] = (traffic.event() for _ in range(count))
    sent = threading.Event()
    with ThreadPoolExecutor(1, "bench-fault") as beside:
        disturbing = beside.submit(fault.disturb, here, sent)
        try:
            here.topics.pace(poisoned(events) if fault.poison else events, RATE)
        finally:
            sent.set()
        ended = time.monotonic()
        disturbing.result()
    here.wait(patience_s=PATIENCE_S)
    behind_s = time.monotonic() - ended
    found = account(here.topics, here.store)
    return Disturbed(fault.what, found, behind_s), _probes(here.nodes[0], traffic)


def _probes(node: Subject, traffic: Traffic) -> dict[str, Probe]:
    """The next events, as the node sees them now."""
    with node.client(60.0) as client:
        answer = client.post("/v1/score/batch", content=traffic.batch(PROBES), headers=NDJSON)
        answer.raise_for_status()
    verdicts = [msgspec.json.decode(line) for line in answer.content.splitlines() if line]
    return {
        each["event_id"]: Probe(float(each["score"]), bool(each["is_anomaly"]))
        for each in verdicts
        if "score" in each
    }


def _kill(found: Iterator[psutil.Process]) -> None:
    for each in found:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
