"""Graphs with two of something."""

import io
from pathlib import Path

from rich.console import Console

from models.bundle import Bundle
from services.app import AppArgs
from services.bench.machine import Processes
from services.bench.outcome import Job, Latency, Outcome
from services.bench.replicas import (
    Scaled,
    Setup,
    _measured,
    arguments,
    replicas_rows,
    replicas_table,
    setups,
)
from services.bench.rounds import Bench, Plan, Step
from services.bench.subject import Subject


def step(rate: int, events: int) -> Step:
    outcome = Outcome(
        seconds=1.0, requests=rate, events=events, latency_ms=Latency(p95=50.0),
        statuses={"200": rate, "503": 1},
    )  # fmt: skip
    return Step(outcome, Processes({}, 0.0), 60.0)


def test_every_setup_is_a_graph_that_can_be_built(bundle: Bundle, tmp_path: Path) -> None:
    made = setups(bundle.path)
    for setup in made:
        args = AppArgs(**arguments(setup, bundle.path, tmp_path / "x", "redis://h:1/0"))
        assert (args.history == "redis://h:1/0?name=x") == setup.shared
        assert set(args.deployments) == set(setup.doubled)
        assert setup.shared or "Preprocessor" not in setup.doubled, "it would be refused"
    assert "IsolationForest" in made[1].doubled


def test_medians_side_by_side() -> None:
    steps = [step(1000, 1000), step(3000, 3000), step(2000, 2000)]
    found = [Scaled(Setup("one"), steps, [step(10, 9000)], 1800.0)]
    out = io.StringIO()
    Console(file=out, width=160).print(replicas_table(found))
    assert "2,000" in out.getvalue()
    rows = {row.what: row.median for row in replicas_rows(found)}
    assert rows["one: batches of 1,000"] == 9000
    assert rows["one: errors"] == 4
    assert rows["one: their p95"] == 50


class Counting(Bench):
    """Answers the nth load with n requests a second."""

    loads = 0

    def step(self, job: Job) -> Step:
        self.loads += 1
        return step(self.loads, self.loads)


def test_the_first_load_warms_up_and_is_not_counted(tmp_path: Path) -> None:
    plan = Plan(events="", runs=2, seconds=1.0)
    bench = Counting(Subject("127.0.0.1", 1, tmp_path, None), plan, lambda text: None)
    found = _measured(Setup("one"), bench)
    assert [each.outcome.requests for each in found.singles] == [2, 4]
    assert [each.outcome.requests for each in found.batches] == [3, 5]
