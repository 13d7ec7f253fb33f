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

CONNECTIONS = (1, 16, 64, 128, 256)
BATCHES = (1, 10, 100, 1000, 5000, 10_000)
BATCH_CONNECTIONS = 4
#: Loads that something is asked of; they are run every time, for as long as the plan says.
ASKED_CONNECTIONS, ASKED_BATCH = (1, 128), 1000
#: Connections of the run that is compared with a no-op.
NOOP_CONNECTIONS = max(ASKED_CONNECTIONS)
#: Share of what that run reached, at which an open loop is run for its latencies.
PACED_SHARE = 0.6
EXPLANATIONS = 50
SCORED_TO_EXPLAIN = 2000
NDJSON = {"content-type": "application/x-ndjson"}

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """How much to measure, and with which events; ``rungs`` are the loads nothing is asked of."""

    events: str
    runs: int = 5
    seconds: float = 8.0
    rung_runs: int = 2
    rung_seconds: float = 4.0


class Step(msgspec.Struct, frozen=True):
    """One load run: what the generator saw, and who used the machine meanwhile."""

    outcome: Outcome
    cpu: Processes
    mloops_per_s: float


class Round(msgspec.Struct, frozen=True):
    """``singles`` by connections, ``batches`` by their size; ``paced`` is the open loop."""

    singles: dict[int, Step]
    batches: dict[int, Step]
    explanations_ms: dict[str, Latency]
    explained: int
    paced: Step | None = None


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

    def job(
        self, connections: int, *, batch: int = 0, rate: float = 0.0, seconds: float | None = None
    ) -> Job:
        """Load that goes on where the last one stopped; closed without a rate, else open."""
        return Job(
            host=self.subject.host,
            port=self.subject.port,
            events=self.plan.events,
            run=self._run,
            number=self._number,
            seconds=seconds or self.plan.seconds,
            connections=connections,
            batch=batch,
            rate=rate,
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

    def round(self, *, whole: bool) -> Round:
        """What something is asked of; the ``whole`` ladder in some rounds only, and for shorter."""
        singles: dict[int, Step] = {}
        for connections in CONNECTIONS:
            if whole or connections in ASKED_CONNECTIONS:
                singles[connections] = self._single(connections)
        paced = self._paced(singles[NOOP_CONNECTIONS])
        batches = {
            events: self._batches(events) for events in BATCHES if whole or events == ASKED_BATCH
        }
        return Round(singles, batches, self.explanations(), EXPLANATIONS, paced)

    def _single(self, connections: int) -> Step:
        seconds = self._seconds(connections in ASKED_CONNECTIONS)
        step = self.step(self.job(connections, seconds=seconds))
        self._tell(f"{connections} connections", step)
        return step

    def _paced(self, reached: Step) -> Step:
        rate = max(1.0, PACED_SHARE * reached.outcome.requests_per_s)
        step = self.step(self.job(1, rate=rate))
        self._tell(f"open loop at {rate:,.0f} req/s", step)
        return step

    def _batches(self, events: int) -> Step:
        seconds = self._seconds(events >= ASKED_BATCH)  # larger ones come by the second
        step = self.step(self.job(BATCH_CONNECTIONS, batch=events, seconds=seconds))
        self._tell(f"batches of {events:,}", step)
        return step

    def _seconds(self, asked: bool) -> float:
        return self.plan.seconds if asked else min(self.plan.seconds, self.plan.rung_seconds)

    def noop(self) -> Step:
        """The no-op at the highest concurrency that something is asked of."""
        step = self.step(msgspec.structs.replace(self.job(NOOP_CONNECTIONS), constant=True))
        self._tell(f"no-op, {NOOP_CONNECTIONS} connections", step)
        return step

    def _tell(self, what: str, step: Step) -> None:
        outcome, told = step.outcome, step.outcome.latency_ms
        rate = f"{outcome.requests_per_s:,.0f} req/s"
        if outcome.events > outcome.requests:
            rate = f"{outcome.events_per_s:,.0f} events/s"
        self.say(
            f"{what}: {rate}, p50 {told.p50:.1f} p95 {told.p95:.1f} p99 {told.p99:.1f} ms, "
            f"{outcome.errors} errors ({step.mloops_per_s:.0f} Mloops/s, "
            f"foreign CPU {step.cpu.foreign:.2f} cores, generator {outcome.generator_cores:.2f})"
        )

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
