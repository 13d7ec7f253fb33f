"""One round of measurements against a running graph, and what a whole bench reports."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from ensemble.explain.methods import METHODS, Method
from services.bench.load import LoadRun, finish_load, start_load
from services.bench.machine import CpuWatch, Memory, Processes, calibrate
from services.bench.outcome import Job, Latency, Outcome, latency
from services.bench.subject import Subject
from services.bench.traffic import load as load_traffic

CONNECTIONS = (1, 16, 64, 128)
BATCH_EVENTS = 1000
BATCH_CONNECTIONS = 4
#: Connections of the run that is compared with a no-op.
MOST_CONNECTIONS = max(CONNECTIONS)
EXPLANATIONS = 50
SCORED_TO_EXPLAIN = 2000
NDJSON = {"content-type": "application/x-ndjson"}

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """How much to measure, and with which events."""

    events: str
    runs: int = 5
    seconds: float = 8.0


class Step(msgspec.Struct, frozen=True):
    """One load run: what the generator saw, and who used the machine meanwhile."""

    outcome: Outcome
    cpu: Processes
    mloops_per_s: float


class Round(msgspec.Struct, frozen=True):
    """``singles`` by number of connections."""

    singles: dict[int, Step]
    batches: Step
    explanations_ms: dict[str, Latency]
    explained: int


class Report(msgspec.Struct, kw_only=True):
    """Everything a bench found."""

    started: str
    model: str
    cores: int
    plan: Plan
    ready_s: float | None = None
    idle_memory: Memory | None = None
    loaded_memory: Memory | None = None
    rounds: list[Round] = []
    noop: list[Step] = []
    counters: dict[str, float] = {}
    trace_exports: int = 0


class Bench:
    """Runs load against one subject; no event is ever sent twice."""

    def __init__(self, subject: Subject, plan: Plan, say: Say) -> None:
        self.subject = subject
        self.plan = plan
        self.say = say
        self._run = secrets.token_hex(3)
        self._number = 0

    def job(self, connections: int, *, batch: int = 0) -> Job:
        """A closed loop of so many connections, where the last one stopped."""
        return Job(
            host=self.subject.host,
            port=self.subject.port,
            events=self.plan.events,
            run=self._run,
            number=self._number,
            seconds=self.plan.seconds,
            connections=connections,
            batch=batch,
            key=self.subject.key,
        )

    def step(self, job: Job) -> Step:
        """One load run with the machine watched; its speed is taken just before."""
        speed = calibrate()
        load = start_load(job)
        watch = CpuWatch(self.subject.processes())  # after what is prepared for the load
        outcome = self.finish(load)
        return Step(outcome, watch.stop(outcome.cpu_s), speed)

    def finish(self, load: LoadRun) -> Outcome:
        """The outcome of a load run that was started with a job of this bench."""
        outcome = finish_load(load)
        self._number = outcome.next_number
        return outcome

    def round(self) -> Round:
        """Single events at every concurrency, batches, explanations."""
        singles: dict[int, Step] = {}
        for connections in CONNECTIONS:
            singles[connections] = step = self.step(self.job(connections))
            rate = step.outcome.requests_per_s
            self.say(_line(f"{connections} connections", step, rate, "req/s"))
        batches = self.step(self.job(BATCH_CONNECTIONS, batch=BATCH_EVENTS))
        rate = batches.outcome.events_per_s
        self.say(_line(f"batches of {BATCH_EVENTS}", batches, rate, "events/s"))
        told = self.explanations()
        return Round(singles, batches, told, EXPLANATIONS)

    def noop(self) -> Step:
        """The no-op at the highest concurrency."""
        step = self.step(self.job(MOST_CONNECTIONS))
        rate = step.outcome.requests_per_s
        self.say(_line(f"no-op, {MOST_CONNECTIONS} connections", step, rate, "req/s"))
        return step

    def explanations(self) -> dict[str, Latency]:
        """How long an explanation of a flagged event takes by each method, after one to warm up."""
        traffic = load_traffic(Path(self.plan.events), run=self._run, number=self._number)
        body = traffic.batch(SCORED_TO_EXPLAIN)
        self._number = traffic.number
        with self.subject.client() as client:
            answer = client.post("/v1/score/batch", content=body, headers=NDJSON)
            answer.raise_for_status()
            flagged = most_suspicious(answer.content, EXPLANATIONS)
            time.sleep(0.5)  # verdicts reach the Recorder a moment after their answer
            told: dict[str, Latency] = {
                method: latency(_explained(client, method, flagged)) for method in METHODS
            }
        for method, took in told.items():
            self.say(f"{len(flagged)} by {method}: p50 {took.p50:.0f}, p95 {took.p95:.0f} ms")
        return told


def most_suspicious(answer: bytes, most: int) -> list[str]:
    """Ids of the events with the highest scores in an NDJSON answer."""
    verdicts = [msgspec.json.decode(line) for line in answer.splitlines() if line]
    scored = [verdict for verdict in verdicts if "score" in verdict]
    scored.sort(key=lambda verdict: -float(verdict["score"]))
    return [str(verdict["event_id"]) for verdict in scored[:most]]


def _explained(client: httpx.Client, method: Method, event_ids: list[str]) -> list[float]:
    """Seconds each explanation took, after one to warm up."""
    return [_explain(client, method, each) for each in [*event_ids[:1], *event_ids]][1:]


def _explain(client: httpx.Client, method: Method, event_id: str) -> float:
    started = time.perf_counter()
    answer = client.get(f"/v1/events/{event_id}/explanation", params={"method": method})
    answer.raise_for_status()
    return time.perf_counter() - started


def _line(what: str, step: Step, rate: float, unit: str) -> str:
    outcome, told = step.outcome, step.outcome.latency_ms
    return (
        f"{what}: {rate:,.0f} {unit}, p50 {told.p50:.1f} p95 {told.p95:.1f} ms, "
        f"{outcome.errors} errors ({step.mloops_per_s:.0f} Mloops/s, "
        f"foreign CPU {step.cpu.foreign:.2f} cores)"
    )
