"""Kills under load: one replica of each deployment, and the controller, with SIGKILL.

Requests come at a fixed rate whether they are answered or not, so that an outage is counted in
full. What is counted are the requests sent in the 30 s after the kill, and those on their way.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import httpx
import msgspec
import psutil

from models import DETECTORS
from services.bench.load import start_load
from services.bench.machine import process_name
from services.bench.outcome import OK, Answered, percentile
from services.bench.rounds import Bench
from services.bench.subject import BenchError, Subject
from services.bench.traffic import load as load_traffic

RATE = 200.0
CONNECTIONS = 16
#: Load before the kill, and how long after it everything is counted, seconds.
BEFORE_S = 5.0
AFTER_S = 30.0
#: A 200 that took longer was waiting for the replacement, seconds.
SLOW_S = 1.0
#: The first explanation of a new Explainer loads shap, seconds.
PROBE_S = 20.0
CONTROLLER = "ServeController"
JSON = {"content-type": "application/json"}
#: Deployments in the order they are killed; the detectors are put where None stands.
_STAGES = ("Preprocessor", None, "Combiner", "Explainer", "Recorder", "Gateway", CONTROLLER)


class Fault(msgspec.Struct, frozen=True):
    """What callers met after one kill. ``None`` seconds: not within the time watched.

    ``longest_gap_s`` is the longest time without a 200; ``recovered_s`` when the last request that
    failed, waited over a second or lacked a detector had ended; ``back_s`` when the killed part
    did its own work again.
    """

    killed: str
    requests: int
    answers: dict[str, int]
    longest_gap_s: float
    slowest_s: float
    recovered_s: float
    back_s: float | None

    @property
    def failed(self) -> int:
        """Requests without a verdict."""
        return self.requests - self.answers.get(OK, 0) - self.answers.get("200 degraded", 0)

    @property
    def error_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


def run_faults(bench: Bench) -> list[Fault]:
    """Kill every part in turn, each after the last one is whole again.

    What was measured before a graph does not recover is returned all the same.
    """
    faults: list[Fault] = []
    for name in targets(bench.subject):
        try:
            _wait_until_whole(bench.subject)
            fault = _kill_under_load(bench, name)
        except BenchError as error:
            bench.say(f"{name}: {error}; stopping here")
            break
        faults.append(fault)
        bench.say(
            f"{name}: {fault.answers}, longest gap {fault.longest_gap_s:.1f} s, "
            f"recovered after {fault.recovered_s:.1f} s"
        )
    return faults


def targets(subject: Subject) -> list[str]:
    """What can be killed of a graph."""
    with subject.client() as client:
        models = client.get("/v1/models").raise_for_status().json()
    running = {process_name(each) for each in subject.processes()}
    names = models["variants"]["champion"]["detectors"]
    detectors = [DETECTORS[name].partition(":")[2] for name in names]
    wanted: list[str] = []
    for stage in _STAGES:
        wanted += detectors if stage is None else [stage]
    missing = [name for name in wanted if name not in running]
    if missing:
        raise BenchError(f"cannot see the processes of {', '.join(missing)}: started elsewhere?")
    return wanted


def account(name: str, timeline: Sequence[Answered], killed_at: float, back_s: float | None,
            watched_s: float = AFTER_S) -> Fault:  # fmt: skip
    """What a timeline says about the time after a kill."""
    end = killed_at + watched_s
    seen = [each for each in timeline if each.answered >= killed_at and each.sent <= end]
    answers: Counter[str] = Counter()
    for each in seen:
        answers[f"{each.status} degraded" if each.degraded else each.status] += 1
    bad = [each.answered for each in seen if _is_bad(each)]
    waits = [each.answered - each.sent for each in seen]
    return Fault(
        killed=name,
        requests=len(seen),
        answers=dict(answers),
        longest_gap_s=_longest_gap(seen, killed_at, end),
        slowest_s=percentile(sorted(waits), 1.0),
        recovered_s=max(bad, default=killed_at) - killed_at,
        back_s=back_s,
    )


def _is_bad(each: Answered) -> bool:
    return each.status != OK or each.degraded or each.answered - each.sent > SLOW_S


def _longest_gap(seen: Sequence[Answered], start: float, end: float) -> float:
    """The longest time without an answered verdict."""
    good = sorted(min(each.answered, end) for each in seen if each.status == OK)
    moments = [start, *good, end]
    return max(after - before for before, after in pairwise(moments))


def _kill_under_load(bench: Bench, name: str) -> Fault:
    job = bench.job(CONNECTIONS)
    job = msgspec.structs.replace(job, seconds=BEFORE_S + AFTER_S, rate=RATE, timeline=True)
    load = start_load(job)
    try:
        time.sleep(BEFORE_S)
        victims = _named(bench.subject, name)
        killed_at = time.monotonic()
        for victim in victims:
            victim.kill()
        back_s = _wait_until_back(bench, name, {victim.pid for victim in victims}, killed_at)
        outcome = bench.finish(load)
    finally:
        load.process.kill()
    return account(name, outcome.timeline, killed_at, back_s)


def _named(subject: Subject, name: str) -> list[psutil.Process]:
    found = [each for each in subject.processes() if process_name(each) == name]
    return found[:1]


def _wait_until_back(bench: Bench, name: str, killed: set[int], at: float) -> float | None:
    """Seconds until the part has a new process, and does its work where that can be asked for."""
    probe = _Probe(bench)
    while time.monotonic() < at + AFTER_S:
        if any(each.pid not in killed for each in _named(bench.subject, name)) and probe.works(
            name
        ):
            return time.monotonic() - at
        time.sleep(0.25)
    return None


class _Probe:
    """Asks for what one part alone can do."""

    def __init__(self, bench: Bench) -> None:
        self._subject = bench.subject
        self._traffic = load_traffic(Path(bench.plan.events), run=secrets.token_hex(3))

    def works(self, name: str) -> bool:
        """Score an event, then look it up (Recorder), have it explained (Explainer)."""
        try:
            with self._subject.client(PROBE_S) as client:
                return self._works(client, name)
        except httpx.HTTPError:
            return False

    def _works(self, client: httpx.Client, name: str) -> bool:
        if name == CONTROLLER:
            return True
        answer = client.post("/v1/score", content=self._traffic.event(), headers=JSON)
        if answer.status_code != 200 or answer.json()["degraded"]:
            return False
        if name not in ("Recorder", "Explainer"):
            return True
        time.sleep(0.3)
        path = f"/v1/events/{answer.json()['event_id']}"
        return client.get(path + ("/explanation" if name == "Explainer" else "")).status_code == 200


def _wait_until_whole(subject: Subject, patience_s: float = 90.0) -> None:
    """Until every stage has answered a canned event for three seconds on end."""
    deadline = time.monotonic() + patience_s
    good = 0
    with subject.client(10.0) as client:
        while good < 3:
            if time.monotonic() > deadline:
                raise BenchError(f"the graph is not whole again after {patience_s:.0f} s")
            time.sleep(1.1)  # a readiness answer is kept for a second
            try:
                good = good + 1 if client.get("/readyz").status_code == 200 else 0
            except httpx.HTTPError:
                good = 0
